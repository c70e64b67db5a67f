"""Joint fits over dithers: offsets and their errors, what is shared, and how much smoother spectra get."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.exceptions import DataError, ParameterError, ShapeError
from pixtrace.simulate import star_in_ifu, wiggles
from pixtrace.simulate.scene import Scene
from pixtrace.trace import (
    DitherFit,
    SpectralImage,
    TraceModel,
    TraceParams,
    fit_dithers,
    fit_image,
    oversample_image,
)

Plane = npt.NDArray[np.float64]

QUARTERS = (0.0, 0.25, 0.5, 0.75)
PITCH = 0.196  # arcsec, of `star_in_ifu`


def truth_at(alpha: Plane, offset: float, peak: Any = 400.0, sigma: float = 0.7) -> Plane:
    """Return what a perfect measurement would find at these places: a profile that does not change."""
    bright = 1 + 0.2 * np.sin(np.arange(alpha.shape[1]) / 15.0)
    return np.asarray(bright * (peak * np.exp(-0.5 * ((alpha - offset) / sigma) ** 2) + 3.0))


def slit(
    offset: float = 0.0,
    seed: int = 0,
    *,
    peak: float = 400.0,
    n_x: int = 120,
    sigma: float = 0.7,
    slices: Sequence[float] = (1.0,),
) -> SpectralImage:
    """One dither of a star whose profile does not change, in slices that it fills to different parts."""
    n_y = 24
    random = np.random.default_rng(1000 + seed)
    x = np.arange(n_x)
    alpha = np.tile((np.arange(n_y)[:, None] - 11.3 + 0.004 * x), (len(slices), 1))
    region = np.repeat(np.arange(1, len(slices) + 1, dtype=np.int32), n_y)[:, None] + np.zeros(n_x, dtype=np.int32)
    share = np.repeat(np.asarray(slices), n_y)[:, None]
    signal = truth_at(alpha, offset, share * peak, sigma)
    poisson, read = 0.05 * signal, np.full(signal.shape, 0.25)
    flux = signal + np.sqrt(poisson + read) * random.standard_normal(signal.shape)
    return SpectralImage(
        flux=flux,
        error=np.sqrt(poisson + read),
        alpha=alpha,
        region_map=region,
        variances={"var_poisson": poisson, "var_rnoise": read},
        name=f"dither {offset:g}",
    )


def same(one: TraceModel, other: TraceModel) -> bool:
    """Whether two models are the same to the bit."""
    tables, others = one.tables(), other.tables()
    return set(tables) == set(others) and all(
        np.array_equal(a, b) for region in tables for a, b in zip(tables[region], others[region], strict=True)
    )


def patched(image: SpectralImage, other: SpectralImage, region: int) -> SpectralImage:
    """Return an image with one region of another."""
    inside = image.region_map == region
    assert image.error is not None
    assert other.error is not None
    flux, error = np.where(inside, other.flux, image.flux), np.where(inside, other.error, image.error)
    return replace(image, flux=flux, error=error)


def dithers(offsets: Sequence[float] = QUARTERS, **more: Any) -> list[SpectralImage]:
    return [slit(offset, seed, **more) for seed, offset in enumerate(offsets)]


@pytest.mark.parametrize("peak", [60.0, 20.0])
def test_the_offsets_are_found_and_their_errors_are_what_they_say(peak: float) -> None:
    pulls = []
    for trial in range(30):
        images = [slit(offset, 10 * trial + e, peak=peak, n_x=60) for e, offset in enumerate(QUARTERS)]
        group = fit_dithers(images, offsets=[0.1, 0.1, 0.6, 0.6]).groups[0]
        assert group.offsets.mean() == pytest.approx(0.35)  # of those given
        assert (group.errors < 0.03).all()
        pulls.append((group.offsets - 0.35 - (np.array(QUARTERS) - 0.375)) / group.errors)
        found, error = group.between(0, 3)
        assert abs(found - 0.75) < 5 * error
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.6
    assert abs(np.std(pulls) - 1) < 0.2


def test_offsets_of_many_pixels_are_searched_for() -> None:
    truth = [-4.2, 0.0, 3.13]
    group = fit_dithers(dithers(truth)).groups[0]
    for exposure in (0, 2):
        found, error = group.between(1, exposure)
        assert abs(found - truth[exposure]) < 5 * error < 0.05
    assert group.offsets.mean() == pytest.approx(0.0, abs=1e-12)
    assert group.shared == {1: ((0, 1, 2),)}


def test_given_offsets_are_taken_as_they_are_or_as_a_start() -> None:
    images = dithers()
    given = fit_dithers(images, offsets=[0.0, 0.3, 0.5, 0.7], refine=False)
    np.testing.assert_array_equal(given.offsets, [[0.0, 0.3, 0.5, 0.7]])
    np.testing.assert_array_equal(given.errors, np.zeros((1, 4)))
    searched, started = fit_dithers(images), fit_dithers(images, offsets=[1.0, 1.3, 1.5, 1.7])
    # To the share of their error at which the steps end.
    np.testing.assert_allclose(started.offsets - 1.375, searched.offsets, rtol=0, atol=0.05 * searched.errors.max())


def test_one_exposure_is_fitted_as_alone_to_the_bit() -> None:
    image = star_in_ifu(n_columns=200, n_slices=3).image
    alone = fit_image(image, TraceParams.robust())
    joint = fit_dithers([image])
    assert same(joint.models[0], alone.model)
    for region, record in alone.model.records().items():
        np.testing.assert_equal(joint.models[0].records()[region], record)
    assert joint.shared == {}
    np.testing.assert_array_equal(joint.offsets, [[0.0]])


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    images = dithers(slices=(1.0, 0.3), n_x=80)
    one, three = (fit_dithers(images, n_threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one.offsets, three.offsets)
    np.testing.assert_array_equal(one.groups[0].covariance, three.groups[0].covariance)
    assert all(same(a, b) for a, b in zip(one.models, three.models, strict=True))


def test_the_order_of_the_exposures_does_not_matter() -> None:
    images, order = dithers(), [2, 0, 3, 1]
    one, other = fit_dithers(images), fit_dithers([images[e] for e in order])
    np.testing.assert_allclose(other.offsets[0], one.offsets[0][order], rtol=0, atol=1e-7)
    at = np.linspace(-3, 3, 61)
    for place, e in enumerate(order):
        a, b = one.models[e][1][60], other.models[place][1][60]
        assert a.scale == pytest.approx(b.scale, rel=1e-6)
        np.testing.assert_allclose(b.model(at), a.model(at), rtol=0, atol=1e-6)


def test_an_exposure_that_shows_something_else_is_fitted_alone_there() -> None:
    # The second slice of the third exposure shows a wider star: a dither across the slices.
    images = dithers(slices=(1.0, 0.5))
    wide = slit(QUARTERS[2], 2, slices=(1.0, 0.5), sigma=1.4)
    images[2] = patched(images[2], wide, 2)
    fit = fit_dithers(images)
    assert fit.shared == {1: ((0, 1, 2, 3),), 2: ((0, 1, 3),)}
    alone = fit_image(images[2], TraceParams.robust()).model
    at = np.linspace(-3, 3, 61)
    np.testing.assert_array_equal(fit.models[2][2][50].model(at), alone[2][50].model(at))
    found, error = fit.groups[0].between(0, 2)
    assert abs(found - 0.5) < 5 * error


def test_exposures_that_show_two_things_share_two_profiles() -> None:
    # In the second slice the last two exposures show a wider star.
    # Whether two exposures share is a matter of chance for one set of them in six.
    images = [slit(offset, 20 + e, slices=(1.0, 0.5)) for e, offset in enumerate(QUARTERS)]
    for e in (2, 3):
        images[e] = patched(images[e], slit(QUARTERS[e], 20 + e, slices=(1.0, 0.5), sigma=1.4), 2)
    assert fit_dithers(images).shared == {1: ((0, 1, 2, 3),), 2: ((0, 1), (2, 3))}


def test_what_differs_can_be_made_to_share() -> None:
    images = [slit(0.0, 0, sigma=0.7), slit(0.3, 1, sigma=0.9)]
    with pytest.raises(DataError, match="no two exposures show the same profile"):
        fit_dithers(images)
    fit = fit_dithers(images, tolerance=np.inf)
    assert fit.shared == {1: ((0, 1),)}
    assert fit.groups[0].between(0, 1)[0] == pytest.approx(0.3, abs=0.1)


def test_offsets_by_region() -> None:
    images = dithers((0.0, 0.4), slices=(1.0, 1.0))
    moved = slit(0.9, 7, slices=(1.0, 1.0))
    images[1] = patched(images[1], moved, 2)
    fit = fit_dithers(images, offsets_by="region")
    assert [group.regions for group in fit.groups] == [(1,), (2,)]
    for group, truth in zip(fit.groups, (0.4, 0.9), strict=True):
        found, error = group.between(0, 1)
        assert abs(found - truth) < 5 * error < 0.1


def test_a_region_that_one_exposure_lacks() -> None:
    images = dithers(slices=(1.0, 0.5))
    images[1] = replace(images[1], region_map=np.where(images[1].region_map == 2, 0, images[1].region_map))
    fit = fit_dithers(images)
    assert fit.shared == {1: ((0, 1, 2, 3),), 2: ((0, 2, 3),)}
    assert 2 not in fit.models[1]


def test_missing_pixels_are_filled_by_the_other_exposures() -> None:
    images = dithers()
    flux = images[1].flux.copy()
    flux[11:14, 50:70] = np.nan  # the core of the star, in more columns than a window has
    images[1] = replace(images[1], flux=flux)
    fit = fit_dithers(images)
    whole = fit_dithers(dithers())
    at = np.linspace(-1, 1, 21) + QUARTERS[1]
    lost, kept = (found.models[1][1][60].model(at) for found in (fit, whole))
    np.testing.assert_allclose(lost, kept, rtol=0, atol=0.02 * kept.max())


def test_errors_of_joint_models_are_what_they_say() -> None:
    pulls = []
    for trial in range(4):
        images = [slit(offset, 10 * trial + e) for e, offset in enumerate(QUARTERS)]
        fit = fit_dithers(images)
        for image, fitted, offset in zip(images, fit.fitted, QUARTERS, strict=True):
            found = oversample_image(image, 2, TraceParams.robust().replace(slope_limit=0.0), fitted=fitted)
            assert found.error is not None
            assert set(found.variances) == {"var_poisson", "var_rnoise"}
            used = np.isfinite(found.flux) & np.isfinite(found.trace_used)
            used[:, :3], used[:, -3:] = False, False
            pulls.append(((found.flux - truth_at(found.alpha, offset)) / found.error)[used])
    every = np.concatenate(pulls)
    assert abs(np.mean(every)) < 0.08
    assert abs(np.std(every) - 1) < 0.08


def star(offset: float, seed: int, *, tilt: float, snr: float) -> Scene:
    """One dither of the star of the demo: `offset` in rows."""
    return star_in_ifu(n_columns=400, n_slices=1, snr=snr, seed=seed, tilt=tilt, dither=(offset * PITCH, 0.0))


@pytest.mark.parametrize(("tilt", "snr"), [(3.0, 300.0), (1.0, 300.0), (22.0, 3000.0)])
def test_four_dithers_wiggle_half_as_much(tilt: float, snr: float) -> None:
    factor, params = 10, TraceParams.robust()
    scenes = [star(offset, seed, tilt=tilt, snr=snr) for seed, offset in enumerate(QUARTERS)]
    fit = fit_dithers([scene.image for scene in scenes])
    assert fit.shared == {101: ((0, 1, 2, 3),)}
    for exposure, offset in enumerate(QUARTERS):
        assert fit.groups[0].between(0, exposure)[0] == pytest.approx(offset * PITCH, abs=0.01 * PITCH)
    single, joint = [], []
    for scene, fitted in zip(scenes, fit.fitted, strict=True):
        alone = oversample_image(scene.image, factor, params)
        together = oversample_image(scene.image, factor, params, fitted=fitted)
        single.append(wiggles(scene, scene.stars[0], alone.flux, factor).rms_after)
        joint.append(wiggles(scene, scene.stars[0], together.flux, factor).rms_after)
    assert np.mean(joint) < 0.5 * np.mean(single)


def test_exposures_at_the_same_place_are_averaged() -> None:
    fit = fit_dithers(dithers((0.0, 0.0, 0.0)), offsets=[0.0, 0.0, 0.0], refine=False)
    alone = fit_image(slit(), TraceParams.robust()).model
    assert fit.shared == {1: ((0, 1, 2),)}
    record, single = fit.models[0].record(1), alone.record(1)
    assert record is not None
    assert single is not None
    assert np.median(record.n_points) > np.median(single.n_points)


def test_joint_models_are_kept_in_files(tmp_path: Any) -> None:
    model = fit_dithers(dithers(n_x=60)).models[1]
    model.save(tmp_path / "model.fits")
    assert same(TraceModel.load(tmp_path / "model.fits"), model)


def test_what_is_said() -> None:
    fit = fit_dithers(dithers((0.0, 0.5), n_x=60))
    assert isinstance(fit, DitherFit)
    assert "2 exposures, 1 of 1 regions shared; offsets -0.2" in repr(fit)


@pytest.mark.parametrize(
    ("images", "options", "error", "words"),
    [
        ([], {}, ParameterError, "no exposure"),
        (slit(n_x=20), {}, ParameterError, "one SpectralImage"),
        (3, {}, ParameterError, "is a int"),
        ([slit(n_x=20), "no"], {}, ParameterError, r"`images`\[1\] is a str"),
        ([slit(n_x=20), slit(n_x=21)], {}, ShapeError, r"shape \(24, 21\); expected \(24, 20\)"),
        ([slit(n_x=20)] * 2, {"offsets": [0.0]}, ShapeError, "1 elements; expected 2"),
        ([slit(n_x=20)] * 2, {"offsets": [0.0, np.nan]}, ParameterError, r"`offsets`\[1\] = nan"),
        ([slit(n_x=20)] * 2, {"offsets": [[0.0, 1.0]]}, ShapeError, "2 dimensions"),
        ([slit(n_x=20)] * 2, {"refine": "no"}, ParameterError, "refine"),
        ([slit(n_x=20)] * 2, {"offsets_by": "slit"}, ParameterError, "exposure, channel, region"),
        ([slit(n_x=20)] * 2, {"tolerance": 0.9}, ParameterError, "`tolerance` = 0.9; it must be at least 1"),
        ([slit(n_x=20)] * 2, {"tolerance": np.nan}, ParameterError, "tolerance"),
        ([slit(n_x=20)] * 2, {"params": TraceParams()}, ParameterError, "robust"),
        ([slit(n_x=20)] * 2, {"params": "robust"}, ParameterError, "is a str"),
        ([slit(n_x=20)] * 2, {"progress": 3}, ParameterError, "progress"),
    ],
)
def test_bad_input_is_refused(images: Any, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fit_dithers(images, **options)


def test_exposures_without_a_common_region_are_refused() -> None:
    one = slit(n_x=40)
    with pytest.raises(DataError, match="no region in common"):
        fit_dithers([one, replace(one, region_map=one.region_map * 7)])


def test_exposures_with_other_variances_are_refused() -> None:
    one = slit(n_x=40)
    with pytest.raises(DataError, match="var_poisson; expected var_poisson, var_rnoise"):
        fit_dithers([one, replace(one, variances={"var_poisson": one.variances["var_poisson"]})])


def test_exposures_of_different_sources_are_refused() -> None:
    wide = [slit(0.0, 0, sigma=0.7), slit(0.0, 1, sigma=1.6)]
    with pytest.raises(DataError, match="no two exposures show the same profile"):
        fit_dithers(wide)


def test_offsets_of_an_empty_sky_are_not_made_up() -> None:
    sky = [slit(0.0, seed, peak=0.0) for seed in range(2)]
    with pytest.raises(DataError, match="offsets of the exposures cannot be found"):
        fit_dithers(sky)
    fit = fit_dithers(sky, offsets=[0.0, 0.5], refine=False)
    assert fit.shared == {1: ((0, 1),)}
