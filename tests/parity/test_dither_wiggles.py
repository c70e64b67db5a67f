"""Joint fits of dithers wiggle as little as a fit that knows the profile, or half as much as fits one by one."""

import pytest

from tests.parity.dither_wiggles import compare, scenes_of

FACTOR = 10.0


@pytest.mark.parametrize(("rows", "snr"), [(0.5, 3000.0), (2.0, 3000.0)])
def test_half_of_those_one_by_one_where_they_limit(rows: float, snr: float) -> None:
    found = compare(scenes_of(rows, snr, n_columns=400), [FACTOR])[FACTOR]
    for values in (found.one, found.mean):
        assert values["floor"] < 0.2 * values["alone"]  # it is not the noise that limits
        assert values["joint"] < 0.5 * values["alone"]


@pytest.mark.parametrize("rows", [2.0, 8.0])
def test_near_the_floor_where_the_noise_limits(rows: float) -> None:
    found = compare(scenes_of(rows, 300.0, n_columns=400), [FACTOR])[FACTOR]
    assert 0.002 < found.one["floor"] < 0.004  # the noise of a pixel is 0.33 per cent
    assert found.one["joint"] < 1.1 * found.one["floor"]
    assert found.mean["joint"] < 1.25 * found.mean["floor"]
