"""The small pieces on bare vectors: spline fits, the finer grid, compact sources."""

from typing import Any, cast

import numpy as np
import pytest

from pixtrace import _native
from pixtrace.trace.oversample import fine_rows
from tests.oracles import bspline
from tests.parity.agreement import SINGULAR
from tests.reference import PROJECT, Case, load_case

#: Steep points on regular grids, and what jwst 3.0.0 makes of them.
TIES = PROJECT / "tests" / "data" / "compact_ties.npz"


@pytest.fixture
def vectors(reference_dir: object) -> Case:
    """Return the vectors."""
    del reference_dir
    return load_case("vectors")


def test_spline_fits(vectors: Case) -> None:
    """Gaps, clumps, ties, missing numbers; a fit, none, or a ValueError, as in the reference."""
    cases = cast("list[dict[str, Any]]", vectors.text("bspline_cases"))
    assert cases
    for n, asked in enumerate(cases):
        what = f"vector {n}: {asked}"
        x, y = vectors[f"b{n}_x"], vectors[f"b{n}_y"].astype(np.float64)

        def fit(x: Any = x, y: Any = y, asked: dict[str, Any] = asked) -> Any:
            return _native.fit_spline(
                x,
                y,
                asked["nbkpts"],
                sigma_low=asked["sigma"],
                sigma_high=asked["sigma"],
                n_rounds=asked["wrapiter"],
                space_ratio=asked["space_ratio"],
            )

        if asked["result"] == "none":
            assert fit() is None, what
        elif asked["result"] == "spline":
            found, t = fit(), vectors[f"b{n}_t"]
            if found is None:
                # The reference's spline has coefficients of 1e28: rounding alone decided that it is one.
                assert np.linalg.cond(bspline.basis(t, x.astype(np.float64))) > SINGULAR, what
                continue
            c = found[1]
            np.testing.assert_array_equal(found[0], t, err_msg=what)
            expected = vectors[f"b{n}_c"][: t.size - 4]
            np.testing.assert_allclose(c, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max(), err_msg=what)
        else:
            assert asked["result"].startswith("ValueError"), what
            with pytest.raises(ValueError, match=r"\w"):
                fit()


def test_the_finer_grid(vectors: Case) -> None:
    """Native row coordinates of the finer rows, wherever a region begins."""
    for n, asked in enumerate(cast("list[dict[str, Any]]", vectors.text("reindex_cases"))):
        new, old = vectors[f"r{n}_new"], vectors[f"r{n}_old"]
        if asked["scale"] >= 1:
            rows = fine_rows(asked["xmax"] + 2, asked["scale"])
            np.testing.assert_allclose(rows[new], old, rtol=0, atol=1e-12, err_msg=str(asked))


def test_compact_sources_where_bins_tie() -> None:
    """On regular grids many bins have the same count, and the rounding of their edges says which is the peak."""
    with np.load(TIES) as ties:
        for n in range(12):
            found = _native.compact_mask(
                ties[f"k{n}_alpha"],
                ties[f"k{n}_points"].astype(np.float64),
                float(ties[f"k{n}_native"]),
                int(ties[f"k{n}_bins"]),
                float(ties[f"k{n}_pad"]),
            )
            np.testing.assert_array_equal(found, ties[f"k{n}_compact"], err_msg=f"case {n}")


def test_compact_sources(vectors: Case) -> None:
    """The same pixels count as near a compact source."""
    for n, asked in enumerate(cast("list[dict[str, Any]]", vectors.text("compact_cases"))):
        found = _native.compact_mask(
            vectors[f"c{n}_alpha"],
            vectors[f"c{n}_points"].astype(np.float64),
            float(np.float32(asked["native_dalpha"])),
            asked["spline_bkpt"],
            asked["pad"],
        )
        np.testing.assert_array_equal(found, vectors[f"c{n}_compact"], err_msg=str(asked))
