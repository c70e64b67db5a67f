"""The preset "robust" is nearer to the truth than the reference, on every case of the reference data."""

import numpy as np
import pytest

from tests.parity.truth import compare
from tests.reference import case_names


@pytest.mark.parametrize("name", case_names())
def test_nearer_to_the_truth_than_the_reference(name: str) -> None:
    for row in compare(name):
        assert row.lost == 0
        assert row.ours[0] <= row.theirs[0], row
        assert row.ours[1] <= row.theirs[1], row
        if name in {"edge_trim_all", "mrs_4a"}:  # where the reference finds no model, or nothing compact
            assert min(row.gain) >= 3, row


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_much_nearer_on_the_whole(seed: int | None) -> None:
    rows = [row for name in case_names() for row in compare(name, seed)]
    gains = np.array([row.gain for row in rows])
    assert np.all(np.median(gains, axis=0) >= 1.5)
    # The spline alone, in the median of this case, is as good in one as in the other: 0.91 to 1.03 for twelve seeds.
    is_even = np.array([row.case == "nrs1_ifu" and row.psf_optimal for row in rows])
    assert np.all(gains[~is_even] >= 1.0)
    assert np.all(gains[is_even] >= [0.9, 1.4])
