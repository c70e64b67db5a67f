"""Propagated errors: pulls of simulated data, covariances, and the numerical derivative."""

from typing import Any

import numpy as np
import pytest

from pixtrace.trace import oversample_with_errors
from tests.slits import Plane, fit_reference, fit_weighted, slit


def check_pulls(pulls: Plane, *, std: float, bias: float) -> None:
    assert abs(np.mean(pulls)) < bias
    assert abs(np.std(pulls) - 1) < std
    assert abs(np.mean(np.abs(pulls) < 1) - 0.683) < 0.7 * std
    assert abs(np.mean(np.abs(pulls) < 2) - 0.954) < 0.4 * std


@pytest.mark.parametrize("method", ["reference", "robust"])
@pytest.mark.parametrize(("peak", "background"), [(200.0, 2.0), (2000.0, 2.0), (20.0, 5.0)])
def test_errors_are_what_they_say(method: str, peak: float, background: float) -> None:
    scene = slit(peak=peak, background=background)
    measured, filled, products, predicted = [], [], [], []
    for seed in range(5):
        data = scene.observe(seed)
        model = fit_weighted(data, scene) if method == "robust" else fit_reference(data, scene)
        found = oversample_with_errors(
            model,
            data,
            scene.error,
            scene.alpha,
            scene.labels,
            2,
            scene.alpha_os,
            variances=[scene.poisson, scene.read],
            significant=method == "robust",
            slope_limit=0.0,
            n_covariances=2,
        )
        flux = found.planes.flux_os
        used = np.isfinite(flux) & np.isfinite(found.planes.trace_used)
        if method == "reference":  # the splines of the reference oscillate where nothing bends
            used &= np.abs(scene.alpha_os) < 3
        was_bad = np.repeat(~np.isfinite(data), 2, axis=0)
        off = flux - scene.truth_os
        pulls = off / np.sqrt(found.variance)
        measured.append(pulls[used & ~was_bad])
        filled.append(pulls[used & was_bad])
        norm = np.sqrt(found.variance[:-1] * found.variance[1:])
        both = used[:-1] & used[1:]
        products.append((off[:-1] * off[1:] / norm)[both])
        predicted.append((found.covariances[0][:-1] / norm)[both])
        # Noise comes from its components alone, and smoothing adds an error of its own.
        noise = found.variances[0] + found.variances[1]
        if method == "reference":
            np.testing.assert_allclose(noise[used], found.variance[used], rtol=1e-9)
        else:
            assert np.all(noise[used] <= found.variance[used] * (1 + 1e-9))
    check_pulls(np.concatenate(measured), std=0.05, bias=0.05)
    if method == "robust":
        check_pulls(np.concatenate(filled), std=0.15, bias=0.15)
    # In the core of a very bright source some of the error is that of the knots, which neighbours share.
    tolerance = 0.15 if peak > 1000 else 0.08
    assert np.mean(np.concatenate(products)) == pytest.approx(np.mean(np.concatenate(predicted)), abs=tolerance)


@pytest.mark.parametrize("psf_optimal", [False, True])
def test_the_variance_is_that_of_the_numerical_derivative(psf_optimal: bool) -> None:
    # Each native pixel of the window is moved by itself, and everything done anew.
    scene = slit(background=20.0)
    data = scene.observe(3, bad=0.0)
    column, rows, half = 120, np.array([20, 25, 27, 28, 30, 31, 40]), 30

    def oversampled(flux: Plane) -> Any:
        model = fit_reference(flux, scene, lrange=half, col_index=[column], sigma_low=99, sigma_high=99)
        return oversample_with_errors(
            model,
            flux,
            scene.error,
            scene.alpha,
            scene.labels,
            2,
            scene.alpha_os,
            significant=False,
            slope_limit=0.0,
            psf_optimal=psf_optimal,
            n_covariances=1,
            n_threads=1,
        )

    before = oversampled(data)
    total, product = np.zeros(rows.size), np.zeros(rows.size)
    for y in range(scene.truth.shape[0]):
        for x in range(column - half, column + half):
            moved = data.copy()
            moved[y, x] += 1e-5 * scene.error[y, x]
            change = (oversampled(moved).planes.flux_os - before.planes.flux_os)[:, column] / 1e-5
            total += change[rows] ** 2
            product += change[rows] * change[rows + 1]
    # To the noise of the sums of the columns, which is neglected.
    np.testing.assert_allclose(before.variance[rows, column], total, rtol=0.04)
    np.testing.assert_allclose(before.covariances[0][rows, column] / total, product / total, atol=0.04)


def test_fine_pixels_are_those_of_the_plain_oversampling() -> None:
    scene = slit()
    data = scene.observe(1)
    model = fit_reference(data, scene)
    for options in ({}, {"psf_optimal": True}, {"slope_limit": 0.0, "trim_ends": True}, {"require_ngood": 28}):
        settings: dict[str, Any] = {"require_ngood": 3, "slope_limit": 0.1, **options}
        plain = model.oversample(data, scene.alpha, scene.labels, 2, scene.alpha_os, **settings)
        found = oversample_with_errors(
            model,
            data,
            scene.error,
            scene.alpha,
            scene.labels,
            2,
            scene.alpha_os,
            variances=[scene.poisson, scene.read],
            significant=False,
            **settings,
        )
        for ours, theirs in zip(found.planes, plain, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(np.isfinite(found.variance), np.isfinite(plain.flux_os))
