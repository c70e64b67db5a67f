import warnings

import numpy as np
import numpy.typing as npt
import pytest
from astropy.stats import sigma_clipped_stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pixtrace.exceptions import DataError
from pixtrace.trace.params import TraceParams
from pixtrace.trace.thresholds import Thresholds, clipped_mean_std, thresholds


def of_astropy(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return what astropy makes of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mean, _, std = sigma_clipped_stats(values)
    return float(mean), float(std)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(25))
def test_is_astropy_to_the_last_bit(seed: int, dtype: npt.DTypeLike) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.standard_t(2, rng.integers(1, 4000)) * 10 ** rng.uniform(-5, 5) + rng.normal()).astype(dtype)
    if seed % 3 == 0:
        values[rng.random(values.size) < 0.2] = np.nan
        values[rng.random(values.size) < 0.01] = np.inf
    if seed % 5 == 0:
        values = np.round(values)
    assert clipped_mean_std(values) == of_astropy(values)


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=st.integers(-20, 20).map(float)))
def test_is_astropy_for_small_sets(values: npt.NDArray[np.float64]) -> None:
    np.testing.assert_allclose(clipped_mean_std(values), of_astropy(values), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("values", [[], [np.nan], [np.nan, np.inf, -np.inf]])
def test_nothing_finite(values: list[float]) -> None:
    assert np.isnan(clipped_mean_std(np.array(values, dtype=np.float32))).all()


LABELS = np.repeat(np.array([101, 102, 203, 0, -5], dtype=np.int32), 100).reshape(5, 100)
FLUX = np.random.default_rng(3).normal(5.0, 1.0, LABELS.shape).astype(np.float32)


def level(selection: npt.NDArray[np.bool_], n_sigma: float) -> float:
    """Return the clipped mean plus so many standard deviations of some pixels."""
    mean, std = of_astropy(FLUX[selection])
    return float(np.float32(mean) + np.float32(n_sigma) * np.float32(std))


def test_kinds_of_threshold() -> None:
    params = TraceParams(fit_threshold=7.0)
    assert thresholds(FLUX, LABELS, params) == Thresholds(None, 7.0)
    everywhere = level(LABELS > 0, 7.0)
    assert thresholds(FLUX, LABELS, params.replace(threshold="peak")) == Thresholds(
        dict.fromkeys((101, 102, 203), everywhere), None
    )
    one, two = level(LABELS // 100 == 1, 7.0), level(LABELS // 100 == 2, 7.0)
    by_channel = thresholds(FLUX, LABELS, params.replace(threshold="peak_by_channel"))
    assert by_channel == Thresholds({101: one, 102: one, 203: two}, None)
    for every in (params.replace(fit_threshold=0.0), params.replace(psf_optimal=True, threshold="peak")):
        assert thresholds(FLUX, LABELS, every) == Thresholds(None, None)


def test_no_regions_and_no_flux() -> None:
    params = TraceParams(threshold="peak")
    assert thresholds(FLUX, np.zeros_like(LABELS), params) == Thresholds({}, None)
    assert thresholds(np.full_like(FLUX, np.nan), LABELS, params).peak == {101: 0.0, 102: 0.0, 203: 0.0}


def test_large_numbers() -> None:
    mean, std = clipped_mean_std(np.float32(1e30) * FLUX)
    np.testing.assert_allclose((mean, std), np.multiply(1e30, clipped_mean_std(FLUX)), rtol=1e-5)


def test_overflow_is_an_error() -> None:
    flux = np.where(LABELS == 101, np.float32(3e38), np.float32(-3e38))
    with pytest.raises(DataError, match="fit threshold of image 'S1' overflows"):
        thresholds(flux, LABELS, TraceParams(threshold="peak", fit_threshold=1e9), name="image 'S1'")
