"""Weighted fits and propagated errors: pulls of simulated data, provenance, and what the reference loses."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.cli import main
from pixtrace.exceptions import DataError, ParameterError
from pixtrace.io import write_image
from pixtrace.simulate import star_in_ifu
from pixtrace.trace import (
    SpectralImage,
    TraceModel,
    TraceParams,
    fit_all_regions,
    fit_robust,
    oversample_image,
    oversample_with_errors,
)
from pixtrace.trace.image import DO_NOT_USE
from tests.reference import case_names, load_case
from tests.untyped import fits

Plane = npt.NDArray[np.float64]
FIT: dict[str, Any] = {"spline_bkpt": 60, "require_ngood": 8, "space_ratio": 1.6}


@dataclass(frozen=True)
class Slit:
    """A tilted slit whose profile does not change: there the model is adequate."""

    truth: Plane
    truth_os: Plane
    alpha: Plane
    alpha_os: Plane
    poisson: Plane
    read: Plane

    @property
    def error(self) -> Plane:
        return np.sqrt(self.poisson + self.read)

    @property
    def labels(self) -> npt.NDArray[np.int32]:
        return np.ones(self.truth.shape, dtype=np.int32)

    def observe(self, seed: int, bad: float = 0.02) -> Plane:
        """Add noise, and take some pixels away."""
        rng = np.random.default_rng(seed)
        data: Plane = self.truth + rng.standard_normal(self.truth.shape) * self.error
        data[rng.random(data.shape) < bad] = np.nan
        return data


def slit(*, peak: float = 200.0, background: float = 2.0, factor: int = 2, zero: float = 14.7) -> Slit:
    n_y, n_x = 30, 240
    x = np.arange(n_x)

    def alpha(rows: Plane) -> Plane:
        return np.asarray(rows[:, np.newaxis] - zero + 0.02 * x)

    def flux(a: Plane) -> Plane:
        place = a + zero - 14.7
        profile = np.exp(-0.5 * (place / 0.9) ** 2) + 0.1 * np.exp(-0.5 * (place / 2.7) ** 2)
        return np.asarray((peak * profile + background) * (1 + 0.3 * np.sin(x / 40.0)))

    native = alpha(np.arange(n_y, dtype=float))
    fine = alpha((np.arange(n_y * factor) + 0.5) / factor - 0.5)
    truth = flux(native)
    return Slit(truth, flux(fine), native, fine, 0.05 * truth, np.full_like(truth, 0.25))


def fit_reference(data: Plane, scene: Slit, **more: Any) -> TraceModel:
    variances = [scene.poisson, scene.read]
    options: dict[str, Any] = {**FIT, **more}
    return fit_all_regions(
        data, scene.error, scene.alpha, scene.labels, covariance=True, variances=variances, **options
    )


def fit_weighted(data: Plane, scene: Slit) -> TraceModel:
    return fit_robust(data, scene.error, scene.alpha, scene.labels, variances=[scene.poisson, scene.read])


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


def test_a_record_changes_no_model() -> None:
    scene = slit()
    data = scene.observe(2)
    data[:, 100:108] = np.nan
    plain = fit_all_regions(data, scene.error, scene.alpha, scene.labels, **FIT)
    recorded = fit_reference(data, scene)
    assert recorded == plain
    assert plain.record(1) is None
    record = recorded.record(1)
    assert record is not None
    np.testing.assert_array_equal(record.columns, list(plain[1]))
    assert not record.is_weighted
    assert set(record.absent) == set(range(100, 108))
    assert set(record.absent.values()) == {"too few good pixels"}
    assert np.all(record.n_points + record.n_rejected <= 100 * 30)
    assert 0.8 < np.median(record.chi2) < 1.1
    covariance = record.covariance(50)
    parts = record.covariance(50, 1) + record.covariance(50, 2)
    np.testing.assert_allclose(covariance, parts, rtol=1e-6, atol=1e-9 * covariance.max())
    assert np.all(np.linalg.eigvalsh(covariance) > 0)
    with pytest.raises(ParameterError, match="column 104 of region 1 has no trace"):
        record.covariance(104)
    with pytest.raises(ParameterError, match="no such variance"):
        record.covariance(50, 3)
    assert "absent" in repr(record)


def test_fits_say_whether_they_are_adequate() -> None:
    scene = slit()
    record = fit_weighted(scene.observe(7), scene).record(1)
    assert record is not None
    assert record.is_adequate.mean() > 0.9
    # A profile that changes from column to column cannot be followed.
    spoiled = scene.observe(7) * (1.0 + 0.3 * np.sin(1.7 * np.arange(240.0)) * np.tanh(scene.alpha))
    record = fit_weighted(spoiled, scene).record(1)
    assert record is not None
    assert record.is_adequate.mean() < 0.2
    # Errors that are too large are no fault of the model.
    generous = fit_robust(scene.observe(7), 2.0 * scene.error, scene.alpha, scene.labels).record(1)
    assert generous is not None
    assert generous.is_adequate.all()


def test_reused_fits_say_whose_they_are() -> None:
    case = load_case("edge_gaps")
    model = fit_all_regions(
        case["flux"],
        case["err"],
        case["alpha"],
        case["region_map"],
        snr_threshold=case.snr_threshold,
        covariance=True,
        space_ratio=1.6,
    )
    record = model.record(1)
    assert record is not None
    reused = record.origin == "reused"
    np.testing.assert_array_equal(reused, record.fitted_for != record.columns)
    assert 0 < np.count_nonzero(reused) == len(model[1]) - model[1].n_fits
    for column, other in zip(record.columns[reused], record.fitted_for[reused], strict=True):
        assert model[1][int(column)].model is model[1][int(other)].model


def test_bad_input_is_refused() -> None:
    scene = slit()
    data = scene.observe(0)
    with pytest.raises(DataError, match="no errors"):
        fit_all_regions(data, None, scene.alpha, scene.labels, covariance=True)
    with pytest.raises(ParameterError, match="half_windows"):
        fit_robust(data, scene.error, scene.alpha, scene.labels, half_windows=[])
    with pytest.raises(ParameterError, match="knots_per_pixel"):
        fit_robust(data, scene.error, scene.alpha, scene.labels, knots_per_pixel=[99.0])
    with pytest.raises(ParameterError, match="clip_sigma"):
        fit_robust(data, scene.error, scene.alpha, scene.labels, clip_sigma=-1)
    plain = fit_all_regions(data, scene.error, scene.alpha, scene.labels, **FIT)
    arguments = (data, scene.error, scene.alpha, scene.labels, 2, scene.alpha_os)
    with pytest.raises(DataError, match="region 1 has no record"):
        oversample_with_errors(plain, *arguments)
    with pytest.raises(DataError, match="no record of its fit with these variances"):
        oversample_with_errors(fit_weighted(data, scene), *arguments, variances=[scene.read] * 3)
    with pytest.raises(ValueError, match="shape"):
        fit_robust(data, scene.error[:-1], scene.alpha, scene.labels)
    with pytest.raises(ValueError, match="variance"):
        fit_robust(data, scene.error, scene.alpha, scene.labels, variances=[scene.read[:-1]])


@pytest.mark.parametrize("what", ["nan", "one pixel", "one column", "no region", "zero error", "flat alpha", "huge"])
def test_impossible_images_give_empty_models_or_finite_ones(what: str) -> None:
    scene = slit()
    data, error, alpha, labels = scene.observe(0), scene.error, scene.alpha, scene.labels
    match what:
        case "nan":
            data = np.full_like(data, np.nan)
        case "one pixel":
            data, error, alpha, labels = data[:1, :1], error[:1, :1], alpha[:1, :1], labels[:1, :1]
        case "one column":
            data, error, alpha, labels = data[:, :1], error[:, :1], alpha[:, :1], labels[:, :1]
        case "no region":
            labels = labels * 0
        case "zero error":
            error = error * 0
        case "flat alpha":
            alpha = alpha * 0
        case _:
            data = data * 1e200
    model = fit_robust(data, error, alpha, labels)
    for region in model.values():
        for trace in region.values():
            assert np.isfinite(trace.scale)
            assert np.all(np.isfinite(trace.model.c))


def test_threads_change_nothing_and_inputs_stay() -> None:
    scene = slit()
    data = scene.observe(4)
    before = data.copy()
    one = fit_robust(data, scene.error, scene.alpha, scene.labels, n_threads=1)
    many = fit_robust(np.asfortranarray(data), scene.error.astype(">f8"), scene.alpha, scene.labels, n_threads=4)
    assert one == many
    np.testing.assert_array_equal(data, before)
    doubled = fit_robust(4 * data, 4 * scene.error, scene.alpha, scene.labels)
    for column, trace in one[1].items():
        assert doubled[1][column].scale == pytest.approx(4 * trace.scale, rel=1e-9)


class TestWhatTheReferenceLoses:
    """Each of the defects of semantics.md, section 8, in a case where the reference fails."""

    def test_a_bright_source_is_no_bad_edge(self) -> None:
        # Item 1: the reference finds no spline at all.
        case = load_case("edge_trim_all")
        assert case["out_spline_region"].size == 0
        model = fit_robust(case["flux"], case["err"], case["alpha"], case["region_map"])
        assert len(model[1]) == case["flux"].shape[1]

    def test_the_zero_point_of_alpha_does_not_matter(self) -> None:
        # Item 2: the reference searches for compact sources around alpha = 0 alone.
        near, far = slit(), slit(zero=9.7)
        data = near.observe(5)
        results = []
        for scene in (near, far):
            model = fit_robust(data, scene.error, scene.alpha, scene.labels)
            found = oversample_with_errors(
                model, data, scene.error, scene.alpha, scene.labels, 2, scene.alpha_os, slope_limit=0.0
            )
            results.append(found.planes.flux_os)
        np.testing.assert_allclose(results[0], results[1], rtol=1e-7, atol=1e-7)

    def test_a_background_hides_no_source(self) -> None:
        # Item 3: the reference measures slopes in units of the whole column, and finds nothing compact.
        case = load_case("mrs_4a") if "mrs_4a" in case_names() else None
        if case is not None:
            assert not np.isfinite(case["out_trace_used_s0.1"]).any()
        scene = slit(peak=200.0, background=2000.0)
        data = scene.observe(6)
        model = fit_robust(data, scene.error, scene.alpha, scene.labels)
        found = oversample_with_errors(model, data, scene.error, scene.alpha, scene.labels, 2, scene.alpha_os)
        linear = np.nanmedian(np.abs(found.planes.linear_flux - scene.truth_os))
        assert np.nanmedian(np.abs(found.planes.flux_os - scene.truth_os)) < linear / 2

    @pytest.mark.parametrize("seed", [1, 2])
    def test_columns_that_sample_alike_borrow_what_lies_between_the_pixels(self, seed: int) -> None:
        # In the middle of a detector slices run along the rows: for 150 columns no pixel sees another phase.
        n_y, n_x = 30, 600
        row, x = np.arange(n_y, dtype=float), np.arange(n_x)
        drift = 2.5e-5 * np.clip(np.abs(x - 300.0) - 75.0, 0.0, None) ** 2 * np.sign(x - 300.0)

        def alpha(rows: Plane) -> Plane:
            return np.asarray(rows[:, np.newaxis] - 14.3 + drift)

        def flux(a: Plane) -> Plane:
            wide = 0.7 + 0.0001 * x  # in pixels
            return np.asarray(500.0 * np.exp(-0.5 * (a / wide) ** 2) + 5.0)

        native, fine = alpha(row), alpha((np.arange(2 * n_y) + 0.5) / 2 - 0.5)
        error = np.sqrt(0.2 * flux(native) + 1.0)
        data = flux(native) + error * np.random.default_rng(seed).standard_normal(error.shape)
        labels = np.ones((n_y, n_x), dtype=np.int32)
        model = fit_robust(data, error, native, labels)
        found = oversample_with_errors(model, data, error, native, labels, 2, fine, slope_limit=0.0)
        here = np.abs(fine) < 2.0
        here[:, :230] = here[:, 370:] = False
        off = (found.planes.flux_os - flux(fine))[here]
        assert np.median(np.abs(off / flux(fine)[here])) < 0.025
        assert np.std(off / np.sqrt(found.variance[here])) < 1.4

    def test_knots_are_exact_and_the_lowest_pixel_counts(self) -> None:
        # Item 4.
        scene = slit()
        data = scene.observe(7)
        model = fit_robust(data.astype(np.float32), scene.error, scene.alpha, scene.labels)
        sizes = {trace.model.t.size for trace in model[1].values()}
        assert len(sizes) == 1
        steps = np.diff(next(iter(model[1].values())).model.t[3:-3])
        np.testing.assert_allclose(steps, steps[0], rtol=1e-12)
        record = model.record(1)
        assert record is not None
        assert np.all(record.n_points + record.n_rejected == window_sizes(data, record))

    def test_cosmic_rays_do_not_come_back(self) -> None:
        # Item 8: the reference adds the residual of a pixel that its fit has rejected.
        scene = slit()
        data = scene.observe(8, bad=0.0)
        rng = np.random.default_rng(1)
        hit = rng.random(data.shape) < 0.002
        hit[:3] = hit[-3:] = False
        data[hit] += 300.0
        fine = np.repeat(hit, 2, axis=0)
        robust = fit_robust(data, scene.error, scene.alpha, scene.labels)
        ours = oversample_with_errors(robust, data, scene.error, scene.alpha, scene.labels, 2, scene.alpha_os)
        model = fit_all_regions(data, scene.error, scene.alpha, scene.labels, **FIT)
        theirs = model.oversample(data, scene.alpha, scene.labels, 2, scene.alpha_os, slope_limit=0.0)
        off = np.abs(ours.planes.flux_os - scene.truth_os)[fine]
        assert np.all(off < 6 * np.sqrt(ours.variance[fine]) + 1)
        assert np.median(np.abs(theirs.flux_os - scene.truth_os)[fine]) > 20 * np.median(off)

    def test_structure_that_the_model_does_not_know_stays(self) -> None:
        # Emission in a few columns, away from the source: no rejected outlier, though the model misses it.
        scene = slit()
        extra = np.zeros_like(scene.truth)
        extra[20:26, 100:104] = 60.0
        data = scene.observe(9, bad=0.0) + extra
        model = fit_robust(data, scene.error, scene.alpha, scene.labels)
        found = oversample_with_errors(model, data, scene.error, scene.alpha, scene.labels, 2, scene.alpha_os)
        inside = np.s_[43:49, 101:103]
        np.testing.assert_allclose(found.planes.flux_os[inside] - scene.truth_os[inside], 60.0, atol=6.0)


def window_sizes(data: Plane, record: Any) -> npt.NDArray[np.int64]:
    """Return the number of finite pixels in the window of each column, found from that of the middle one."""
    counts = np.isfinite(data).sum(axis=0)
    middle = int(np.flatnonzero(record.columns == 120)[0])
    n = record.n_points[middle] + record.n_rejected[middle]
    half = next(h for h in (4, 8, 16, 32, 64) if counts[120 - h : 121 + h].sum() == n)
    return np.array([counts[max(0, x - half) : x + half + 1].sum() for x in record.columns])


class TestImages:
    def test_the_preset(self) -> None:
        scene = star_in_ifu(n_columns=200, n_slices=3, seed=5)
        params = TraceParams.robust().replace(n_covariances=2)
        assert TraceParams.preset("robust") == TraceParams.robust()
        result = oversample_image(scene.image, 2, params)
        assert result.error is not None
        assert len(result.covariances) == 2
        missing = ~np.isfinite(result.flux)
        for plane in (result.error, *result.variances.values()):
            np.testing.assert_array_equal(missing, ~np.isfinite(plane))
        np.testing.assert_array_equal(missing, (result.dq & DO_NOT_USE).astype(bool))
        truth = scene.truth_os(2)
        default = oversample_image(scene.image, 2, TraceParams.preset("miri-mrs"))
        ours, theirs = (np.abs(image.flux - truth) for image in (result, default))
        both = np.isfinite(ours) & np.isfinite(theirs)
        assert 1.5 * np.median(ours[both]) < np.median(theirs[both])
        assert np.percentile(ours[both], 95) < np.percentile(theirs[both], 95)

    @pytest.mark.parametrize("seed", [1, 4])
    def test_no_error_is_zero(self, seed: int) -> None:
        scene = star_in_ifu(n_columns=300, n_slices=3, seed=seed)
        result = oversample_image(scene.image, 2, TraceParams.robust())
        assert result.error is not None
        assert np.all(result.error[np.isfinite(result.flux)] > 0)

    def test_without_errors_there_are_none(self) -> None:
        scene = star_in_ifu(n_columns=120, n_slices=3)
        image = scene.image
        bare = SpectralImage(flux=image.flux, alpha=image.alpha, region_map=image.region_map)
        result = oversample_image(bare, 2, TraceParams.robust())
        assert result.error is None
        truth = scene.truth_os(2)
        assert np.nanmedian(np.abs(result.flux - truth)) < 2

    def test_amounts_per_pixel_are_shared_out(self) -> None:
        scene = star_in_ifu(n_columns=120, n_slices=3).image
        planes: dict[str, Any] = {
            "flux": scene.flux,
            "alpha": scene.alpha,
            "region_map": scene.region_map,
            "error": scene.error,
        }
        plain = oversample_image(SpectralImage(**planes), 2, TraceParams.robust())
        shared = oversample_image(SpectralImage(**planes, flux_is_density=True), 2, TraceParams.robust())
        assert plain.error is not None
        assert shared.error is not None
        np.testing.assert_allclose(shared.flux, plain.flux / 2, rtol=1e-6)
        np.testing.assert_allclose(shared.error, plain.error / 2, rtol=1e-6)

    def test_propagated_errors_leave_the_flux_of_the_reference_alone(self) -> None:
        scene = star_in_ifu(n_columns=120, n_slices=3).image
        params = TraceParams.preset("miri-mrs")
        plain = oversample_image(scene, 2, params)
        found = oversample_image(scene, 2, params.replace(errors="propagated"))
        assert plain.error is not None
        assert found.error is not None
        np.testing.assert_array_equal(found.flux, plain.flux)
        assert 0.3 < np.nanmedian(found.error / plain.error) < 1

    def test_the_command(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        scene = star_in_ifu(n_columns=120, n_slices=3)
        source = tmp_path / "star.fits"
        write_image(source, scene.image, preset=scene.preset)
        options = ["-o", str(tmp_path / "out"), "--preset", "robust", "--covariances", "2"]
        assert main(["oversample", str(source), *options]) == 0
        assert "3 of 3 regions fitted" in capsys.readouterr().out
        expected = oversample_image(scene.image, 2, TraceParams.robust().replace(n_covariances=2))
        with fits.open(tmp_path / "out" / "star_oversampled.fits") as product:
            data: Any = {hdu.name: hdu.data for hdu in product}
            np.testing.assert_array_equal(data["SCI"], expected.flux)
            np.testing.assert_array_equal(data["ERR"], expected.error)
            np.testing.assert_array_equal(data["COVAR_2"], expected.covariances[1])
        assert main(["oversample", str(source), "-o", str(tmp_path), "--errors", "propagated", "-q"]) == 0
