"""Fits of maps by all methods; what the fit in Rust does is held against numbers elsewhere."""

import numpy as np
import pytest

from pixtrace.scan import FitFlag, PixelMap
from tests.strategies.scans import FWHM, POSITIONS, make_maps, make_scan

METHODS = ("gaussian", "peak", "position", "centroid")


def maps_for(method: str, *, lsq: bool = True) -> PixelMap:
    options = {"pointing.method": method, "pointing.lsq": lsq}
    return make_maps(make_scan(4000, noise=0.02, options=options))


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_fitting_leaves_the_maps_alone(method: str, smooth: bool) -> None:
    model = maps_for(method)
    stack = model.need_block().stack
    before = {name: getattr(stack, name).copy() for name in ("data", "weight", "exposure", "flag")}
    model.calculate_pixel_data(smooth=smooth)
    for name, plane in before.items():
        np.testing.assert_array_equal(getattr(model.need_block().stack, name), plane)
    for number in model.pixel_maps:
        arguments = (model.pixel_maps, smooth, FWHM, 3, True)
        PixelMap.parallel_safe_calculate_pixel_data(arguments, number)
    np.testing.assert_array_equal(model.need_block().stack.data, before["data"])


@pytest.mark.parametrize(
    ("method", "lsq", "atol"), [("gaussian", True, 0.1), ("peak", True, 0.6), ("peak", False, 3.0)]
)
def test_positions(method: str, lsq: bool, atol: float) -> None:
    model = maps_for(method, lsq=lsq)
    for smooth in (False, True):
        model.calculate_pixel_data(smooth=smooth)
        position = model.scans[0].channels.position.value
        np.testing.assert_allclose(position.T, POSITIONS, atol=atol)
        assert model.fits is not None
        assert model.fits.method == method
        assert model.fits.is_found.all()


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(threads: int) -> None:
    expected = maps_for("gaussian").fit_pixels()
    model = maps_for("gaussian")
    model.set_parallel(threads)
    found = model.fit_pixels()
    for name in ("x", "y", "peak", "x_error", "fwhm_major"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_one_map_has_the_source_that_it_has_among_others() -> None:
    model = maps_for("peak")
    model.fit_pixels()
    for number, found in model.pixel_maps.items():
        alone = found.get_peak_source(degree=3, reduce_degrees=True)
        assert alone is not None
        assert alone.fixed_index == number
        assert np.isfinite([alone.x, alone.y, alone.peak]).all()


def test_ellipses_are_given_as_they_are_if_one_wants() -> None:
    model = make_maps(make_scan(4000, noise=0.02))
    as_round = model.fit_pixels()
    assert (as_round.flag & int(FitFlag.ROUND)).all()
    assert np.isinf(as_round.angle_error).all()
    np.testing.assert_array_equal(as_round.fwhm_major, as_round.fwhm_minor)
    for never in (0.0, "none"):
        model.configuration["pointing.round"] = never
        found = model.fit_pixels()
        assert not (found.flag & int(FitFlag.ROUND)).any()
        assert np.isfinite(found.angle_error).all()
        assert (found.fwhm_major > found.fwhm_minor).all()
    model.configuration["pointing.significance"] = None
    assert not (model.fit_pixels().flag & int(FitFlag.NOT_SIGNIFICANT)).any()
