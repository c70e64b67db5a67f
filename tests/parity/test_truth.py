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


def test_much_nearer_on_the_whole() -> None:
    gains = np.array([row.gain for name in case_names() for row in compare(name)])
    assert np.all(np.median(gains, axis=0) >= 1.5)
