"""Where a model is adequate, and what it may be wrong by: scenes in which it is known what is wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.exceptions import DtypeError, ParameterError
from pixtrace.trace import OversampledErrors, fit_robust, oversample_with_errors
from tests.slits import slit

Plane = npt.NDArray[np.float64]
Scene = tuple[Plane, Plane, Plane, Plane]


def scene(
    profile: Callable[[Plane, Plane], npt.NDArray[np.floating]], *, tilt: float, peak: float = 2000.0, n_x: int = 240
) -> Scene:
    """Return truth, alpha and the same on the finer grid, of a source with a profile of alpha and column."""
    x = np.arange(n_x, dtype=float)
    grids: list[Plane] = []
    for rows in (np.arange(30.0), (np.arange(60) + 0.5) / 2 - 0.5):
        alpha: Plane = rows[:, np.newaxis] - 14.7 + tilt * (x - n_x / 2)
        flux: Plane = peak * profile(alpha, np.broadcast_to(x, alpha.shape)).astype(np.float64) + 2.0
        grids += [flux, alpha]
    return grids[0], grids[1], grids[2], grids[3]


def oversampled(data: Plane, error: Plane, alpha: Plane, fine: Plane, **fit: Any) -> OversampledErrors:
    labels = np.ones(data.shape, dtype=np.int32)
    variances = [error**2]
    model = fit_robust(data, error, alpha, labels, variances=variances, **fit)
    return oversample_with_errors(model, data, error, alpha, labels, 2, fine, variances=variances, adequate=True)


def noisy(truth: Plane, seed: int) -> tuple[Plane, Plane]:
    error: Plane = np.sqrt(0.05 * truth + 0.25)
    return truth + error * np.random.default_rng(seed).standard_normal(truth.shape), error


def flags(found: OversampledErrors) -> npt.NDArray[np.bool_]:
    assert found.adequate is not None
    return found.adequate


@pytest.mark.parametrize("peak", [20.0, 2000.0])
def test_a_model_that_is_right_is_adequate_nearly_everywhere(peak: float) -> None:
    simple = slit(peak=peak)
    shares = []
    for seed in range(3):
        found = oversampled(simple.observe(seed), simple.error, simple.alpha, simple.alpha_os)
        is_used = np.isfinite(found.planes.trace_used)
        assert flags(found).dtype == np.bool_
        assert not flags(found)[~is_used].any()
        shares.append(flags(found)[is_used].mean())
    assert np.mean(shares) > 0.94


def test_nothing_is_told_that_was_not_asked_for() -> None:
    simple = slit()
    planes = (simple.observe(0), simple.error, simple.alpha, simple.labels)
    model = fit_robust(*planes)
    with_flags = oversample_with_errors(model, *planes, 2, simple.alpha_os, adequate=True)
    without = oversample_with_errors(model, *planes, 2, simple.alpha_os)
    assert without.adequate is None
    np.testing.assert_array_equal(without.variance, with_flags.variance)
    np.testing.assert_array_equal(without.planes.flux_os, with_flags.planes.flux_os)
    with pytest.raises((DtypeError, ParameterError), match="adequate"):
        oversample_with_errors(model, *planes, 2, simple.alpha_os, adequate="yes")  # type: ignore[arg-type]


def test_a_misfit_of_a_few_bright_pixels_is_seen() -> None:
    # For 30 columns the source stands aside by a tenth of a pixel.
    simple = slit(peak=2000.0)
    place = simple.alpha
    data = simple.observe(1)
    data[:, 100:130] += (200.0 * place * np.exp(-0.5 * (place / 0.9) ** 2))[:, 100:130]
    found = oversampled(data, simple.error, simple.alpha, simple.alpha_os)
    is_used = np.isfinite(found.planes.trace_used)
    inside = is_used & (np.abs(simple.alpha_os) < 1.5)
    inside[:, :100] = inside[:, 130:] = False
    far = is_used.copy()
    far[:, 30:210] = False
    assert flags(found)[inside].mean() < 0.05
    assert flags(found)[far].mean() > 0.9


def test_columns_that_do_not_follow_lead_others_astray() -> None:
    # An emission line of the source alone: in five columns the background has another share of the flux.
    truth, alpha, truth_os, fine = scene(
        lambda a, x: np.exp(-0.5 * (a / 0.9) ** 2) * np.where(np.abs(x - 120.0) < 2.5, 16.0, 1.0), tilt=0.02, peak=20.0
    )
    data, error = noisy(truth, 2)
    found = oversampled(data, error, alpha, fine, half_windows=[32])
    pulls = (found.planes.flux_os - truth_os) / np.sqrt(found.variance)
    background = (np.abs(fine) > 5) & np.isfinite(found.planes.trace_used)
    near, far = background.copy(), background.copy()
    near[:, :90] = near[:, 105:135] = near[:, 150:] = False
    far[:, 60:180] = False
    assert np.mean(pulls[near]) < -1.5
    assert flags(found)[near].mean() < 0.1
    assert abs(np.mean(pulls[far])) < 0.4
    assert flags(found)[far].mean() > 0.9


def test_what_the_knots_cannot_follow_is_in_the_error() -> None:
    truth, alpha, truth_os, fine = scene(lambda a, _: np.exp(-0.5 * a**2), tilt=0.02, peak=200.0)
    data, error = noisy(truth, 3)
    found = oversampled(data, error, alpha, fine, half_windows=[64], knots_per_pixel=[1.0])
    core = np.abs(fine) < 3
    off = (found.planes.full_trace - truth_os)[core]
    assert np.std(off / np.sqrt(found.variances[0][core])) > 1.6
    assert 0.8 < np.std(off / np.sqrt(found.variance[core])) < 1.2
    assert flags(found)[core].mean() < 0.6


@pytest.mark.parametrize(("peak", "growth"), [(200.0, 0.001), (2000.0, 0.0005)])
def test_what_changes_along_the_spectrum_is_in_the_error(peak: float, growth: float) -> None:
    # A pixel of tilt in 125 columns, and a source that grows: what lies between the pixels is seen in other columns.
    truth, alpha, truth_os, fine = scene(
        lambda a, x: np.exp(-0.5 * (a / (0.9 + growth * x)) ** 2), tilt=0.008, peak=peak, n_x=300
    )
    of_noise, of_all, adequate = [], [], []
    for seed in (4, 5):
        found = oversampled(*noisy(truth, seed), alpha, fine)
        is_used = np.isfinite(found.planes.trace_used)
        off = found.planes.flux_os - truth_os
        of_noise.append((off / np.sqrt(found.variances[0]))[is_used])
        of_all.append((off / np.sqrt(found.variance))[is_used])
        adequate.append((off / np.sqrt(found.variance))[is_used & flags(found)])
    assert np.std(np.concatenate(of_noise)) > 2.5
    assert np.std(np.concatenate(of_all)) < 1.15
    assert abs(np.std(np.concatenate(adequate)) - 1) < 0.1
    assert sum(map(len, adequate)) > 0.5 * sum(map(len, of_all))
