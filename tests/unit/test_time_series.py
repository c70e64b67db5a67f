"""Time series: pulls of scales, shifts and oversampled fluxes, and what must not make a difference."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.exceptions import DtypeError, ParameterError, ShapeError
from pixtrace.trace import (
    OversampledChunk,
    SpectralSeries,
    TimeSeriesModel,
    TraceModel,
    TraceParams,
    fit_time_series,
    oversample_cube,
    oversample_image,
)
from pixtrace.trace.image import DO_NOT_USE, FLUX_ESTIMATED, SpectralImage
from pixtrace.trace.oversample import fine_rows, oversample_planes
from pixtrace.trace.result import FittedImage
from pixtrace.trace.thresholds import Thresholds

Array = npt.NDArray[np.float64]
N_Y, N_X, FACTOR = 22, 130, 2


@dataclass(frozen=True)
class Truth:
    """A slit whose source changes its brightness, its colour and, if wanted, its place."""

    flux: Array
    fine: Array
    error: Array
    scale: Array
    shift: Array
    alpha: Array
    alpha_os: Array

    def observe(self, seed: int = 0, *, dtype: type = np.float64, known: bool = True, **more: Any) -> SpectralSeries:
        """Add noise; with `known`, errors are the true ones, else those that the data show."""
        rng = np.random.default_rng(seed)
        data = self.flux + rng.standard_normal(self.flux.shape) * self.error
        error = self.error if known else np.sqrt(np.maximum(0.05 * data, 0.0) + 0.25)
        arguments: dict[str, Any] = {
            "flux": data.astype(dtype),
            "error": error.astype(dtype),
            "alpha": self.alpha,
            "region_map": np.ones(self.alpha.shape, dtype=np.int32),
            **more,
        }
        return SpectralSeries(**arguments)


def truth(n: int, *, peak: float = 200.0, moves: float = 0.0, seed: int = 5) -> Truth:
    rng = np.random.default_rng(seed)
    x = np.arange(N_X)

    def alpha(rows: Array) -> Array:
        return np.asarray(rows[:, np.newaxis] - 10.6 + 0.02 * x)

    native, fine = alpha(np.arange(N_Y, dtype=float)), alpha(fine_rows(N_Y, FACTOR))
    scale = 1 + 0.05 * rng.standard_normal((n, 1)) + 0.02 * np.sin(x / 30 + np.arange(n)[:, np.newaxis])
    shift = moves * rng.standard_normal(n)

    def flux(a: Array) -> Array:
        place = a - shift[:, np.newaxis, np.newaxis]
        profile = np.exp(-0.5 * (place / 1.1) ** 2) + 0.1 * np.exp(-0.5 * (place / 2.7) ** 2)
        return np.asarray(scale[:, np.newaxis, :] * (peak * profile + 3.0) * (1 + 0.3 * np.sin(x / 40.0)))

    data = flux(native)
    return Truth(data, flux(fine), np.sqrt(0.05 * data + 0.25), scale, shift, native, fine)


def relative(model: TimeSeriesModel) -> tuple[Array, Array]:
    """Return scales and errors."""
    region = model.regions[1]
    return region.scales, region.errors


def all_of(chunks: list[OversampledChunk], name: str) -> npt.NDArray[Any]:
    return np.concatenate([getattr(chunk, name) for chunk in chunks])


def spread(pulls: Array) -> tuple[float, float]:
    return float(np.mean(pulls)), float(np.std(pulls))


@pytest.mark.parametrize("peak", [3.0, 200.0, 20000.0])
@pytest.mark.parametrize("known", [True, False])
def test_pulls_of_scales(peak: float, known: bool) -> None:
    scene = truth(60, peak=peak)
    model = fit_time_series(scene.observe(1, known=known))
    scales, errors = relative(model)
    # What is 1 for the mean is 1 on average; the profile's own error is common to all integrations.
    expected = scene.scale * (np.mean(scales, axis=0) / np.mean(scene.scale, axis=0))
    bias, width = spread((scales - expected) / errors)
    assert abs(bias) < 0.02
    assert width * np.sqrt(60 / 59) == pytest.approx(1, abs=0.05)
    n_used = model.regions[1].n_used
    assert np.sum(model.regions[1].chi2) / np.sum(n_used - 1.0) == pytest.approx(1, abs=0.05)


def test_scales_are_those_of_the_truth() -> None:
    scene = truth(40)
    scales, errors = relative(fit_time_series(scene.observe(2)))
    level = scene.scale.mean(axis=1, keepdims=True)
    expected = scene.scale * np.sum(level**2) / np.sum(level * scene.scale, axis=0) / np.mean(level)
    bias, width = spread((scales - expected) / errors)
    assert abs(bias) < 0.05
    assert width == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", [1, 2])
def test_pulls_of_shifts(seed: int) -> None:
    scene = truth(150, moves=0.05, seed=seed)
    model = fit_time_series(scene.observe(seed + 10), shift=True)
    region = model.regions[1]
    difference = region.shifts - scene.shift
    pulls = (difference - difference.mean()) / region.shift_errors
    assert np.std(pulls) == pytest.approx(1, abs=0.15)
    assert abs(difference.mean()) < 0.01
    scales, errors = relative(model)
    expected = scene.scale * (scales.mean(axis=0) / scene.scale.mean(axis=0))
    assert np.std((scales - expected) / errors) == pytest.approx(1, abs=0.05)


def test_a_shift_that_is_not_fitted_shows() -> None:
    scene = truth(40, moves=0.05)
    series = scene.observe(3)
    still, moved = fit_time_series(series).regions[1], fit_time_series(series, shift=True).regions[1]
    assert np.sum(moved.chi2) < 0.9 * np.sum(still.chi2)
    assert np.array_equal(still.shifts, np.zeros(40))


@pytest.mark.parametrize("moves", [0.0, 0.05])
def test_pulls_of_fluxes(moves: float) -> None:
    scene = truth(30, moves=moves)
    series = scene.observe(4)
    model = fit_time_series(series, shift=moves > 0)
    chunks = list(oversample_cube(series, model, FACTOR, alpha_os=scene.alpha_os))
    flux, error = all_of(chunks, "flux"), all_of(chunks, "error")
    inner = np.s_[:, 4:-4, :]
    bias, width = spread((flux - scene.fine)[inner] / error[inner])
    # The profile of the mean is as wide as the shifts make it.
    assert abs(bias) < (0.1 if moves else 0.05)
    assert width == pytest.approx(1, abs=0.08)


def image_of(series: SpectralSeries, i: int) -> SpectralImage:
    part = series.read(i, i + 1)
    error = None if part.error is None else part.error[0]
    dq = None if part.dq is None else part.dq[0]
    image = series.image(part.flux[0], error, {name: plane[0] for name, plane in part.variances.items()})
    return replace(image, dq=dq)


REFERENCE = TraceParams(spline_bkpt=44, require_ngood=8, fit_threshold=5.0)


def with_defects(scene: Truth, **more: Any) -> SpectralSeries:
    """Return a series with missing and flagged pixels, an integration without data, and single precision."""
    rng = np.random.default_rng(8)
    dq = (rng.random(scene.flux.shape) < 0.02).astype(np.uint32) * (DO_NOT_USE | 4)
    variance = (0.05 * scene.flux).astype(np.float32)
    series = scene.observe(9, dtype=np.float32, dq=dq, variances={"var_poisson": variance}, **more)
    flux, error = np.array(series.flux), np.array(series.error)
    flux[rng.random(flux.shape) < 0.02] = np.nan
    error[rng.random(flux.shape) < 0.01] = 0.0
    error[rng.random(flux.shape) < 0.01] = np.nan
    flux[3] = np.nan
    return replace(series, flux=flux, error=error)


@pytest.mark.parametrize("density", [True, False])
def test_each_integration_is_oversampled_as_an_image(density: bool) -> None:
    """The fast path against the slow one: the pipeline of images, given the model scaled to the integration."""
    scene = truth(5)
    series = with_defects(scene, flux_is_density=density)
    model = fit_time_series(series, REFERENCE)
    for chunk in oversample_cube(series, model, FACTOR, alpha_os=scene.alpha_os, chunk=2, intermediate=True):
        for k, i in enumerate(range(chunk.start, chunk.stop)):
            image = image_of(series, i)
            if i == 3:
                assert np.all(np.isnan(chunk.flux[k]))
                assert np.all(chunk.dq[k] & DO_NOT_USE)
                continue
            fitted = FittedImage(
                model=scaled(model, chunk.regions[1].scales[k]),
                offset=model.fitted.offset,
                thresholds=Thresholds(None, None),
            )
            alone = oversample_image(
                image, FACTOR, REFERENCE, alpha_os=scene.alpha_os, fitted=fitted, intermediate=True
            )
            for name in ("flux", "error", "dq", "trace_used", "full_trace", "linear_flux", "residual_flux"):
                np.testing.assert_array_equal(getattr(chunk, name)[k], getattr(alone, name), err_msg=name)
            np.testing.assert_array_equal(chunk.variances["var_poisson"][k], alone.variances["var_poisson"])
            assert np.any(chunk.dq[k] & FLUX_ESTIMATED)


def scaled(model: TimeSeriesModel, scales: Array) -> TraceModel:
    tables = {}
    for label, table in model.fitted.model.tables().items():
        columns, number, scale, *rest = table
        tables[label] = (columns, number, scale * scales[columns], *rest)
    return TraceModel.from_tables(tables)


@pytest.mark.parametrize("params", [TraceParams.robust(), REFERENCE.replace(errors="propagated")])
def test_one_integration_is_a_single_image(params: TraceParams) -> None:
    scene = truth(1)
    series = scene.observe(11)
    model = fit_time_series(series, params)
    np.testing.assert_allclose(model.regions[1].scales, 1, rtol=0.02)
    (chunk,) = oversample_cube(series, model, FACTOR, alpha_os=scene.alpha_os)
    alone = oversample_image(image_of(series, 0), FACTOR, params, alpha_os=scene.alpha_os)
    assert chunk.error is not None
    assert alone.error is not None
    inner = np.s_[4:-4]
    ratio = chunk.error[0][inner] / alone.error[inner]
    assert np.nanmedian(ratio) == pytest.approx(1, abs=0.02)
    pulls = (chunk.flux[0] - alone.flux)[inner] / alone.error[inner]
    assert np.nanstd(pulls) < 0.3


def results(series: SpectralSeries, **options: Any) -> list[npt.NDArray[Any]]:
    model = fit_time_series(series, shift=True, **options)
    region = model.regions[1]
    planes = [region.scales, region.errors, region.shifts, region.shift_errors, region.chi2, model.mean.flux]
    chunks = list(oversample_cube(series, model, FACTOR, **options))
    names = ("flux", "error", "dq", "trace_used")
    variances = np.concatenate([chunk.variances["var_poisson"] for chunk in chunks])
    return [*planes, *(all_of(chunks, name) for name in names), variances]


def test_neither_threads_nor_chunks_make_a_difference() -> None:
    series = with_defects(truth(7))
    first = results(series, chunk=7, n_threads=1)
    for options in ({"chunk": 1, "n_threads": 2}, {"chunk": 3, "n_threads": 2}, {"memory": 1, "n_threads": 1}):
        for one, other in zip(first, results(series, **options), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_memory_map_is_as_good_as_an_array(tmp_path: Any) -> None:
    series = truth(6).observe(1, dtype=np.float32)
    mapped: dict[str, Any] = {}
    for name in ("flux", "error"):
        np.save(tmp_path / f"{name}.npy", np.asarray(getattr(series, name)).astype(">f4"))
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    again = replace(series, **mapped)
    one, other = fit_time_series(series, chunk=4), fit_time_series(again, chunk=4)
    np.testing.assert_array_equal(one.regions[1].scales, other.regions[1].scales)


def test_what_is_missing_stays_missing() -> None:
    scene = truth(12)
    series = scene.observe(1)
    flux, error = np.array(series.flux), np.array(series.error)
    flux[4] = np.nan
    error[5] = 0.0
    flux[6, :, 20] = np.inf
    flux[:, :, 40] = np.nan
    scales, errors = relative(fit_time_series(replace(series, flux=flux, error=error)))
    unknown = np.zeros(scales.shape, dtype=bool)
    unknown[4:6] = unknown[6, 20] = unknown[:, 40] = True
    np.testing.assert_array_equal(np.isnan(scales), unknown)
    np.testing.assert_array_equal(np.isnan(errors), unknown)
    clean, _ = relative(fit_time_series(series))
    assert np.nanmax(np.abs(scales - clean)) < 0.02


def test_outliers_are_left_out() -> None:
    scene = truth(20)
    series = scene.observe(1)
    flux = np.array(series.flux)
    rng = np.random.default_rng(0)
    hit = rng.random(flux.shape) < 0.01
    flux[hit] += 2000.0
    model = fit_time_series(replace(series, flux=flux))
    scales, errors = relative(model)
    clean, _ = relative(fit_time_series(series))
    assert np.std((scales - clean) / errors) < 0.3
    assert model.regions[1].n_rejected.sum() >= 0.98 * hit.sum()
    assert np.max(np.abs(model.mean.flux - scene.flux.mean(axis=0))) < 60


def test_a_pixel_off_everywhere_moves_no_scale() -> None:
    scene = truth(20)
    series = scene.observe(1)
    flux = np.array(series.flux)
    flux[:, 9, 50] += 500.0
    scales, errors = relative(fit_time_series(replace(series, flux=flux)))
    clean, _ = relative(fit_time_series(series))
    assert np.max(np.abs(scales - clean) / errors) < 1.5


def test_without_errors_the_scatter_tells() -> None:
    scene = truth(30, peak=20.0)
    series = replace(scene.observe(1), error=None)
    model = fit_time_series(series)
    scales, errors = relative(model)
    expected = scene.scale * (scales.mean(axis=0) / scene.scale.mean(axis=0))
    assert np.std((scales - expected) / errors) == pytest.approx(1, abs=0.15)
    (chunk,) = oversample_cube(series, model, FACTOR)
    assert chunk.error is None
    assert np.isfinite(chunk.flux).any()


def test_white_light() -> None:
    scene = truth(25)
    model = fit_time_series(scene.observe(1))
    values, errors = model.regions[1].white_light()
    level = scene.flux.sum(axis=(1, 2))
    pulls = (values / values.mean() - level / level.mean()) / errors
    assert np.std(pulls) == pytest.approx(1, abs=0.35)
    part, _ = model.regions[1].white_light(slice(10, 20))
    assert part.shape == (25,)
    assert not np.array_equal(part, values)


def test_several_slits() -> None:
    scene = truth(6)
    labels = np.zeros((N_Y, N_X), dtype=np.int32)
    labels[:10], labels[11:] = 2, 7
    series = scene.observe(1, region_map=labels)
    model = fit_time_series(series)
    assert list(model.regions) == [2, 7]
    (chunk,) = oversample_cube(series, model, FACTOR, alpha_os=scene.alpha_os)
    assert np.all(np.isnan(chunk.flux[:, 20:22]))
    assert np.isfinite(chunk.flux[:, 4:16]).all()


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"flux": np.zeros((4, 4))}, ShapeError, r"`flux` has shape \(4, 4\); expected \(n_integrations, n_y, n_x\)"),
        ({"flux": np.zeros((0, 4, 4))}, ShapeError, "none of them zero"),
        ({"flux": "cube"}, DtypeError, "expected something with a shape that can be sliced"),
        ({"error": np.zeros((2, N_Y, N_X))}, ShapeError, r"`error` has shape \(2, 22, 130\); expected \(3, 22, 130\)"),
        ({"variances": [1]}, ParameterError, "expected a mapping of names to cubes"),
        ({"variances": {"var": np.zeros((3, N_Y, 4))}}, ShapeError, "`var` has shape"),
        ({"alpha": np.zeros((4, 4))}, ShapeError, "the shape of one integration of `flux`"),
        ({"region_map": np.full((N_Y, N_X), 0.5)}, DtypeError, "not whole"),
    ],
)
def test_series_that_are_none(change: dict[str, Any], kind: type[Exception], text: str) -> None:
    series = truth(3).observe()
    with pytest.raises(kind, match=text):
        replace(series, **change)


def test_bits_that_are_none() -> None:
    series = truth(3).observe(dq=np.zeros((3, N_Y, N_X)))
    with pytest.raises(DtypeError, match="integrations 0 to 0"):
        fit_time_series(series)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"chunk": 0}, "`chunk`"),
        ({"memory": 0}, "`memory`"),
        ({"clip_sigma": 0.0}, "`clip_sigma` = 0; it must be finite and positive"),
        ({"shift": True, "max_shift": -1.0}, "`max_shift` = -1; it must be finite and positive"),
        ({"shift": 1}, "`shift`"),
        ({"n_threads": 0}, "`n_threads`"),
        ({"params": "robust"}, "expected a TraceParams"),
        ({"progress": 3}, "`progress`"),
    ],
)
def test_parameters_that_are_none(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        fit_time_series(truth(3).observe(), **options)


def test_arguments_of_oversampling() -> None:
    scene = truth(3)
    series = scene.observe()
    model = fit_time_series(series)
    for factor in (1, 0.5, float("nan")):
        with pytest.raises(ParameterError, match="above 1"):
            oversample_cube(series, model, factor)
    with pytest.raises(ShapeError, match="alpha_os"):
        oversample_cube(series, model, 3, alpha_os=scene.alpha_os)
    with pytest.raises(ParameterError, match="expected a SpectralSeries"):
        fit_time_series(series.flux)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="expected a TimeSeriesModel"):
        oversample_cube(series, model.fitted.model, 2)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="expected a SpectralSeries"):
        oversample_cube(series.flux, model, 2)  # type: ignore[arg-type]


def test_progress_and_its_exceptions() -> None:
    series = truth(6).observe()
    seen: list[tuple[int, int]] = []
    model = fit_time_series(series, chunk=2, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (12000, 12000)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_time_series(series, progress=stop)
    with pytest.raises(KeyboardInterrupt):
        list(oversample_cube(series, model, 2, progress=stop))


def test_the_plane_of_one_integration_agrees_with_the_function_on_arrays() -> None:
    scene = truth(2)
    series = scene.observe(1)
    model = fit_time_series(series, REFERENCE)
    (chunk,) = oversample_cube(series, model, FACTOR, alpha_os=scene.alpha_os)
    planes = oversample_planes(
        scaled(model, chunk.regions[1].scales[1]),
        np.asarray(series.flux)[1],
        series.alpha,
        series.region_map,
        FACTOR,
        scene.alpha_os,
        **REFERENCE.oversample_kwargs(),
    )
    np.testing.assert_array_equal(chunk.trace_used[1], planes.trace_used)
