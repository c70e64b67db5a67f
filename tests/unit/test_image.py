import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.exceptions import DataError, DtypeError, ParameterError, ShapeError
from pixtrace.trace.image import DO_NOT_USE, FLUX_ESTIMATED, SpectralImage

SHAPE = (5, 4)


def planes(**changes: object) -> dict[str, Any]:
    """Return what makes a small image, with changes."""
    flux = np.arange(20, dtype=np.float32).reshape(SHAPE)
    return {"flux": flux, "alpha": flux.astype(np.float64), "region_map": np.ones(SHAPE, np.int32)} | changes


def test_keeps_native_planes_without_a_copy() -> None:
    given = planes(error=np.ones(SHAPE, np.float32), dq=np.zeros(SHAPE, np.uint32))
    image = SpectralImage(**given)
    for name, plane in given.items():
        assert getattr(image, name) is plane
    assert image.shape == SHAPE
    assert image.regions == (1,)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (">f4", np.float32),
        (">f8", np.float64),
        (np.float16, np.float32),
        (np.longdouble, np.float64),
        (np.int16, np.float64),
        (np.uint8, np.float64),
    ],
)
def test_flux_dtypes(dtype: npt.DTypeLike, expected: npt.DTypeLike) -> None:
    image = SpectralImage(**planes(flux=np.arange(20).reshape(SHAPE).astype(dtype), error=np.ones(SHAPE)))
    assert image.flux.dtype == expected
    assert image.flux.dtype.isnative
    assert image.error is not None
    assert image.error.dtype == expected
    np.testing.assert_array_equal(image.flux, np.arange(20).reshape(SHAPE))


@pytest.mark.parametrize("dtype", [np.complex64, object, "U3", "datetime64[s]"])
@pytest.mark.parametrize("name", ["flux", "alpha", "error", "wavelength"])
def test_refuses_what_is_no_number(name: str, dtype: npt.DTypeLike) -> None:
    with pytest.raises(DtypeError, match=f"`{name}`.*dtype.*expected real numbers"):
        SpectralImage(**planes(**{name: np.zeros(SHAPE, dtype)}))


def test_strided_and_read_only_planes_are_taken_and_not_touched() -> None:
    flux = np.arange(80, dtype=np.float32).reshape(10, 8)[::2, ::2]
    flux.flags.writeable = False
    before = flux.copy()
    image = SpectralImage(**planes(flux=flux))
    np.testing.assert_array_equal(image.flux, before)
    np.testing.assert_array_equal(flux, before)


@pytest.mark.parametrize("name", ["alpha", "region_map", "error", "dq", "wavelength"])
def test_names_the_plane_of_another_shape(name: str) -> None:
    with pytest.raises(ShapeError, match=rf"`{name} of image 'S1'` has shape \(5, 3\); expected \(5, 4\)"):
        SpectralImage(**planes(**{name: np.zeros((5, 3), np.int32)}), name="S1")


def test_names_the_variance_of_another_shape() -> None:
    with pytest.raises(ShapeError, match=r"`var_flat` has shape \(4, 5\)"):
        SpectralImage(**planes(variances={"var_flat": np.zeros((4, 5))}))


@pytest.mark.parametrize("shape", [(4,), (2, 5, 4), (0, 4), (4, 0), ()])
def test_refuses_flux_that_is_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="flux"):
        SpectralImage(**planes(flux=np.zeros(shape)))


def test_one_pixel_is_an_image() -> None:
    image = SpectralImage(flux=np.zeros((1, 1)), alpha=np.zeros((1, 1)), region_map=np.ones((1, 1), np.int32))
    assert image.shape == (1, 1)


def test_labels_of_any_integer_type() -> None:
    labels = np.array([[0, 3], [-7, 500]])
    for dtype in (np.int16, ">i4", np.int64, np.uint64):
        image = SpectralImage(
            flux=np.zeros((2, 2)), alpha=np.zeros((2, 2)), region_map=np.abs(labels).astype(dtype).clip(0, 500)
        )
        assert image.region_map.dtype == np.int32
        assert image.regions == (3, 7, 500)
    image = SpectralImage(flux=np.zeros((2, 2)), alpha=np.zeros((2, 2)), region_map=labels)
    assert image.regions == (3, 500), "negative numbers are no regions"


def test_refuses_labels_beyond_32_bits() -> None:
    with pytest.raises(ParameterError, match="label 2147483648"):
        SpectralImage(**planes(region_map=np.full(SHAPE, 2**31)))


def test_refuses_labels_that_are_not_whole() -> None:
    with pytest.raises(DtypeError, match="region_map"):
        SpectralImage(**planes(region_map=np.full(SHAPE, 1.5)))


def test_dq_is_taken_bit_by_bit() -> None:
    dq = np.full(SHAPE, -1, ">i4")
    assert SpectralImage(**planes(dq=dq)).dq is not None
    image = SpectralImage(**planes(dq=dq))
    assert image.dq is not None
    assert image.dq.dtype == np.uint32
    assert (image.dq == 2**32 - 1).all()
    with pytest.raises(DataError, match="expected 32 bits"):
        SpectralImage(**planes(dq=np.full(SHAPE, 2**32)))
    with pytest.raises(DtypeError, match="expected integers"):
        SpectralImage(**planes(dq=np.zeros(SHAPE)))


def test_bits_are_those_of_jwst() -> None:
    flags = pytest.importorskip("stdatamodels.jwst.datamodels.dqflags").pixel
    assert flags["DO_NOT_USE"] == DO_NOT_USE
    assert flags["FLUX_ESTIMATED"] == FLUX_ESTIMATED


def test_masked_elements_are_missing() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[2, 1] = True
    given = planes()
    image = SpectralImage(
        **planes(
            flux=np.ma.MaskedArray(given["flux"], mask),
            error=np.ma.MaskedArray(np.ones(SHAPE, np.int16), mask),
            region_map=np.ma.MaskedArray(given["region_map"], mask),
            dq=np.ma.MaskedArray(np.zeros(SHAPE, np.uint8), mask),
        )
    )
    assert image.error is not None
    assert image.dq is not None
    np.testing.assert_array_equal(np.isnan(image.flux), mask)
    np.testing.assert_array_equal(np.isnan(image.error), mask)
    np.testing.assert_array_equal(image.region_map == 0, mask)
    np.testing.assert_array_equal(image.dq == DO_NOT_USE, mask)


def test_dispersion_along_y_is_turned() -> None:
    given = planes()
    image = SpectralImage.from_arrays(
        given["flux"].T,
        given["alpha"].T,
        given["region_map"].T,
        error=given["flux"].T,
        dq=np.zeros((4, 5), np.uint8),
        wavelength=given["alpha"].T,
        variances={"var_flat": given["flux"].T},
        dispersion_axis=0,
    )
    np.testing.assert_array_equal(image.flux, given["flux"])
    np.testing.assert_array_equal(image.variances["var_flat"], given["flux"])
    assert image.shape == SHAPE
    with pytest.raises(ParameterError, match="dispersion_axis = 2; it must be 0 or 1"):
        SpectralImage.from_arrays(given["flux"], given["alpha"], given["region_map"], dispersion_axis=2)


def test_lists_are_arrays() -> None:
    image = SpectralImage.from_arrays([[1.0, 2.0]], [[0.0, 0.0]], [[1, 1]])
    assert image.flux.dtype == np.float64


def test_cube_gives_the_median_of_what_is_finite() -> None:
    cube = np.array([[[1.0, np.nan, np.nan]], [[2.0, 5.0, np.nan]], [[9.0, np.inf, np.nan]]], dtype=np.float32)
    image = SpectralImage.from_cube(cube, np.zeros((1, 3)), np.ones((1, 3), int), error=cube)
    np.testing.assert_array_equal(image.flux, np.array([[2.0, 5.0, np.nan]], dtype=np.float32))
    assert image.flux.dtype == np.float32
    assert image.n_integrations == 3
    with pytest.raises(ShapeError, match="3"):
        SpectralImage.from_cube(cube[0], np.zeros((1, 3)), np.ones((1, 3), int))
    with pytest.raises(ShapeError, match="at least one integration"):
        SpectralImage.from_cube(cube[:0], np.zeros((1, 3)), np.ones((1, 3), int))


def test_n_integrations_is_at_least_one() -> None:
    with pytest.raises(ParameterError, match="whole number from 1 on"):
        SpectralImage(**planes(n_integrations=0))


def test_survives_pickling() -> None:
    image = SpectralImage(**planes(variances={"var_flat": np.ones(SHAPE)}), name="S1")
    again = pickle.loads(pickle.dumps(image))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(again.flux, image.flux)
    assert again.name == "S1"
