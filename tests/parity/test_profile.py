"""Cross-dispersion profile, threshold and edge trimming, and the column sums that normalise the fits."""

import numpy as np
import numpy.typing as npt

from pixtrace import _native
from tests.oracles import profile as oracle
from tests.parity.agreement import FloatArray
from tests.reference import Case

Float32Array = npt.NDArray[np.float32]


def cut_out(case: Case, region: int) -> tuple[Float32Array, Float32Array, npt.NDArray[np.float64]]:
    """Return flux, error and alpha of a region, NaN elsewhere."""
    inside = case["region_map"] == region
    flux, error = (np.where(inside, case[name], np.nan).astype(np.float32) for name in ("flux", "err"))
    return flux, error, np.where(inside, case["alpha"], np.nan).astype(np.float64)


def assert_profile(found: tuple[FloatArray, ...] | None, case: Case, prefix: str) -> None:
    """Assert that all four vectors are those stored under a prefix; none where none is stored."""
    if f"{prefix}_alpha" not in case:
        assert found is None
        return
    assert found is not None
    for name, vector in zip(("alpha", "flux", "err", "snr"), found, strict=True):
        np.testing.assert_allclose(vector, case[f"{prefix}_{name}"], rtol=1e-6, err_msg=f"{prefix}_{name}")


def test_profile_before_and_after_trimming(case: Case) -> None:
    """Bins, medians and signal-to-noise ratios, and exactly the pixels that the reference blanks."""
    for region in case.params["profiles"]:
        prefix = f"out_profile{region}"
        flux, error, alpha = cut_out(case, region)
        assert_profile(_native.crossdisp_profile(flux, error, alpha), case, f"{prefix}_before")
        if f"{prefix}_trimmed" in case:
            blank = _native.trim_edges(flux, error, alpha)
            np.testing.assert_array_equal(np.argwhere(blank), case[f"{prefix}_trimmed"].reshape(-1, 2))
            flux[blank] = np.nan
            assert_profile(_native.crossdisp_profile(flux, error, alpha), case, f"{prefix}_after")


def test_column_sums_follow_the_profile(case: Case) -> None:
    """The slow definition, whose sums the oracle's fits use, is that of the reference."""
    for region in case.params["profiles"]:
        prefix = f"out_profile{region}"
        if f"{prefix}_column_sum" not in case:
            continue
        flux, error, alpha = cut_out(case, region)
        single = alpha.astype(np.float32)
        first = oracle.profile(flux, error, single)
        assert first is not None
        flux[oracle.trimmed(single, first)] = np.nan
        second = oracle.profile(flux, error, single)
        assert second is not None
        np.testing.assert_allclose(oracle.column_sums(flux, second), case[f"{prefix}_column_sum"], rtol=1e-6)
        assert np.float32(oracle.native_spacing(single)) == case[f"{prefix}_native_dalpha"]
