import errno
import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from astropy.io import fits as astropy_fits

from pixtrace.exceptions import (
    DataError,
    DtypeError,
    FileReadError,
    OutputError,
    OutputExistsError,
    ParameterError,
    ShapeError,
)
from pixtrace.io import Exposure, FitsExposure, open_exposure, read_image, write_image
from pixtrace.io.fits_write import refine_wcs
from pixtrace.trace.exposure import oversample_image
from pixtrace.trace.image import DO_NOT_USE, SpectralImage
from pixtrace.trace.params import PRESETS, TraceParams
from pixtrace.trace.result import OversampledImage

fits: Any = astropy_fits  # half of its types cannot be inferred
N_Y, N_X = 24, 30
FIT: dict[str, Any] = {"lrange": 12, "spline_bkpt": 14, "require_ngood": 5}


def star(name: str = "", **changes: Any) -> SpectralImage:
    """Return a tilted slit with a star, with every plane there can be."""
    y, x = np.mgrid[:N_Y, :N_X].astype(float)
    alpha = 0.2 * (y - 11.5 - 0.1 * (x - 15))
    region_map = np.where(np.abs(alpha) < 2.0, 4, 0).astype(np.int32)
    error = np.full((N_Y, N_X), 2.0, np.float32)
    flux = (5.0 + 900.0 * np.exp(-0.5 * (alpha / 0.17) ** 2) + np.sin(7 * x + 3 * y)).astype(np.float32)
    dq = np.zeros((N_Y, N_X), np.uint32)
    flux[12, 14], error[12, 14], dq[12, 14] = np.nan, np.nan, DO_NOT_USE | 1 << 31
    planes: dict[str, Any] = {
        "flux": flux,
        "error": error,
        "dq": dq,
        "alpha": np.where(region_map > 0, alpha, np.nan),
        "region_map": region_map,
        "wavelength": 1.0 + 0.01 * x,
        "variances": {"var_rnoise": error**2},
    }
    return SpectralImage(**(planes | changes), name=name)


def units(**changes: npt.NDArray[Any] | None) -> Any:
    """Return the units of a good file, some of them replaced or (None) left out."""
    image = star()
    planes: dict[str, npt.NDArray[Any] | None] = {
        "SCI": image.flux,
        "ERR": image.error,
        "DQ": image.dq,
        "ALPHA": image.alpha,
        "REGIONS": image.region_map,
    }
    planes |= changes
    return fits.HDUList(
        [fits.PrimaryHDU(), *(fits.ImageHDU(plane, name=name) for name, plane in planes.items() if plane is not None)]
    )


def results_of(exposure: Exposure, factor: float, *, intermediate: bool = False) -> list[OversampledImage]:
    """Oversample every image of an exposure."""
    params = exposure.params.replace(**FIT)
    return [
        oversample_image(
            image,
            factor,
            params,
            alpha_os=exposure.alpha_os(i, factor) if factor != 1 else None,
            intermediate=intermediate,
        )
        for i, image in enumerate(exposure.images)
    ]


def names(path: Path) -> list[tuple[str, int]]:
    """Return EXTNAME and EXTVER of every extension."""
    with fits.open(path) as hdus:
        return [(hdu.name, hdu.ver) for hdu in hdus[1:]]


def assert_equal_images(one: SpectralImage, two: SpectralImage) -> None:
    """Complain unless two images hold the same numbers in the same types."""
    for name in ("flux", "error", "dq", "alpha", "region_map", "wavelength"):
        a, b = getattr(one, name), getattr(two, name)
        np.testing.assert_array_equal(a, b, err_msg=name)
        assert a.dtype == b.dtype, name
    assert set(one.variances) == set(two.variances)
    for name, plane in one.variances.items():
        np.testing.assert_array_equal(plane, two.variances[name])


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz"])
@pytest.mark.parametrize("axis", [0, 1])
def test_written_and_read_again(tmp_path: Path, suffix: str, axis: int) -> None:
    path = tmp_path / f"a{suffix}"
    image = star(name="S200A1", flux_is_density=True)
    write_image(path, image, preset="nirspec-slit", dispersion_axis=axis)
    again, params = read_image(path)
    assert_equal_images(again, image)
    assert (again.name, again.flux_is_density, again.n_integrations) == ("S200A1", True, 1)
    assert params is PRESETS["nirspec-slit"]
    header = fits.getheader(path, "SCI")
    assert header["DISPAXIS"] == (1 if axis == 1 else 2)
    assert (header["NAXIS1"], header["NAXIS2"]) == ((N_X, N_Y) if axis == 1 else (N_Y, N_X))
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == suffix.endswith("gz")


def test_precision_is_kept(tmp_path: Path) -> None:
    write_image(tmp_path / "a.fits", star(flux=star().flux.astype(np.float64)))
    assert read_image(tmp_path / "a.fits")[0].flux.dtype == np.float64


def test_writing_touches_neither_the_planes_nor_their_bytes(tmp_path: Path) -> None:
    image = star()
    before = image.flux.copy()
    write_image(tmp_path / "a.fits", image)
    np.testing.assert_array_equal(image.flux, before)
    assert image.flux.dtype.isnative


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("factor", [2, 1.5])
def test_product_of_an_exposure(tmp_path: Path, factor: float, axis: int) -> None:
    source = tmp_path / "a.fits"
    write_image(source, star(), preset="generic", dispersion_axis=axis)
    with fits.open(source, mode="update") as hdus:
        hdus[0].header["OBJECT"] = "a star"
        hdus["SCI"].header["BUNIT"] = "mJy"
        hdus["SCI"].header[f"CRPIX{2 if axis == 1 else 1}"] = 5.5
    with open_exposure(source) as exposure:
        assert isinstance(exposure, Exposure)
        assert (exposure.kind, exposure.name, exposure.path) == ("fits", "a.fits", source)
        results = results_of(exposure, factor, intermediate=True)
        target = tmp_path / exposure.output_name(factor)
        assert exposure.save(results, target, intermediate=True) == [target]
    assert target.name == "a_oversampled.fits"
    planes = ["SCI", "ERR", "DQ", "ALPHA", "REGIONS", "WAVELENGTH", "VAR_RNOISE"]
    planes += ["TRACE", "TRACE_FULL", "LINEAR", "RESIDUAL"]
    assert names(target) == [(name, 1) for name in planes]
    (result,) = results
    with fits.open(target) as hdus:
        hdus.verify("exception")
        header = hdus[0].header
        assert (header["OBJECT"], header["PIXFACT"], header["PIXPRSET"]) == ("a star", factor, "generic")
        sci = hdus["SCI"].header
        assert (sci["BUNIT"], sci["DISPAXIS"]) == ("mJy", 1 if axis == 1 else 2)
        assert sci[f"CRPIX{2 if axis == 1 else 1}"] == 5.0 * factor + 0.5
        stored = [result.flux, result.error, result.dq, result.alpha, result.region_map, result.wavelength]
        stored += [*result.variances.values(), result.trace_used, result.full_trace, result.linear_flux]
        for hdu, plane in zip(hdus[1:], [*stored, result.residual_flux], strict=True):
            assert plane is not None
            np.testing.assert_array_equal(hdu.data.T if axis == 0 else hdu.data, plane, err_msg=hdu.name)
    with pytest.raises(DataError, match=rf"a_oversampled\.fits has been oversampled already, by {factor}"):
        open_exposure(target)


def test_product_without_intermediate_planes(tmp_path: Path) -> None:
    write_image(tmp_path / "a.fits.gz", star(error=None, dq=None, wavelength=None, variances={}), preset="nirspec-ifu")
    exposure = FitsExposure.open(tmp_path / "a.fits.gz")
    assert exposure.output_name(2) == "a_oversampled.fits"
    exposure.save(results_of(exposure, 2), tmp_path / "b.fits.gz")
    assert names(tmp_path / "b.fits.gz") == [(name, 1) for name in ("SCI", "DQ", "ALPHA", "REGIONS", "TRACE")]


@pytest.mark.parametrize("axis", [0, 1])
def test_product_of_factor_one_is_a_copy_with_the_trace(tmp_path: Path, axis: int) -> None:
    source = tmp_path / "a.fits"
    write_image(source, star(), dispersion_axis=axis)
    fits.append(source, np.arange(3), fits.Header({"EXTNAME": "EXTRA"}))
    exposure = FitsExposure.open(source)
    results = results_of(exposure, 1)
    target = tmp_path / exposure.output_name(1)
    assert target.name == "a_trace.fits"
    exposure.save(results, target)
    with fits.open(source) as old, fits.open(target) as new:
        assert [hdu.name for hdu in new] == [*(hdu.name for hdu in old), "TRACE"]
        for a, b in zip(old[1:], new[1:-1], strict=True):
            np.testing.assert_array_equal(a.data, b.data)
        trace = new["TRACE"].data
        np.testing.assert_array_equal(trace.T if axis == 0 else trace, results[0].trace_used)
        assert np.isfinite(trace).any()
    again = FitsExposure.open(target)
    again.save(results_of(again, 1), tmp_path / "again.fits", intermediate=True)
    assert names(tmp_path / "again.fits").count(("TRACE", 1)) == 1
    assert ("TRACE_FULL", 1) in names(tmp_path / "again.fits")


def test_several_images_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    write_image(path, [star(name="S1"), star(flux=2 * star().flux)])
    exposure = FitsExposure.open(path)
    assert [image.name for image in exposure.images] == ["S1", "SCI,2"]
    np.testing.assert_array_equal(exposure.images[1].flux, 2 * exposure.images[0].flux)
    exposure.save(results_of(exposure, 2), tmp_path / "b.fits")
    assert [version for name, version in names(tmp_path / "b.fits") if name == "TRACE"] == [1, 2]
    with pytest.raises(DataError, match="holds 2 images"):
        read_image(path)
    with pytest.raises(ParameterError, match=r"1 results with factors .* for the 2 images"):
        exposure.save(results_of(exposure, 2)[:1], tmp_path / "c.fits")


@pytest.mark.parametrize("axis", [0, 1])
def test_time_series(tmp_path: Path, axis: int) -> None:
    image = star()
    assert image.error is not None
    cube = np.stack([image.flux - 1, image.flux, image.flux + 1, np.full_like(image.flux, 1e9)])
    dq = np.zeros(cube.shape, np.int32)
    dq[3] = DO_NOT_USE
    planes = {
        "SCI": cube,
        "ERR": np.stack([image.error] * 4),
        "DQ": dq,
        "ALPHA": image.alpha,
        "REGIONS": image.region_map,
    }
    if axis == 0:
        planes = {name: np.swapaxes(plane, -1, -2) for name, plane in planes.items()}
    hdus = units(**planes)
    hdus[0].header["DISPAXIS"] = 1 if axis == 1 else 2
    hdus.writeto(tmp_path / "a.fits")
    exposure = FitsExposure.open(tmp_path / "a.fits")
    assert exposure.n_integrations == 4
    np.testing.assert_array_equal(exposure.images[0].flux, image.flux)
    exposure.save(results_of(exposure, 1), tmp_path / "b.fits")
    assert fits.getdata(tmp_path / "b.fits", "SCI").shape == planes["SCI"].shape
    assert fits.getdata(tmp_path / "b.fits", "TRACE").shape == planes["ALPHA"].shape


def test_presets(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    write_image(path, star(), preset="miri-mrs")
    assert read_image(path, preset="generic")[1] == TraceParams()
    with pytest.raises(ParameterError, match="there is no preset 'mrs'"):
        read_image(path, preset="mrs")
    with pytest.raises(ParameterError, match="there is no preset 'mrs'"):
        write_image(tmp_path / "b.fits", star(), preset="mrs")
    fits.setval(path, "PIXPRSET", value="mrs")
    with pytest.raises(DataError, match=r"a\.fits: PIXPRSET = 'mrs'; expected one of"):
        read_image(path)
    units().writeto(tmp_path / "c.fits")
    assert read_image(tmp_path / "c.fits")[1] == TraceParams()


@pytest.mark.parametrize("name", ["SCI", "ALPHA", "REGIONS"])
def test_a_missing_extension_is_named(tmp_path: Path, name: str) -> None:
    units(**{name: None}).writeto(tmp_path / "a.fits")
    with pytest.raises(FileReadError, match=rf"a\.fits has no extension {name}"):
        read_image(tmp_path / "a.fits")


@pytest.mark.parametrize("name", ["ERR", "DQ", "ALPHA", "REGIONS"])
def test_a_plane_of_another_shape_is_named(tmp_path: Path, name: str) -> None:
    units(**{name: np.ones((3, 4), np.int32)}).writeto(tmp_path / "a.fits")
    plane = {"ERR": "error", "DQ": "dq", "ALPHA": "alpha", "REGIONS": "region_map"}[name]
    with pytest.raises(ShapeError, match=rf"a\.fits, SCI .*`{plane}` has shape \(3, 4\); expected \(24, 30\)"):
        read_image(tmp_path / "a.fits")


def test_extensions_with_the_wrong_content(tmp_path: Path) -> None:
    cases: list[tuple[str, npt.NDArray[Any], type[Exception], str]] = [
        ("REGIONS", np.full((N_Y, N_X), 1.5), DtypeError, "region_map"),
        ("REGIONS", np.zeros((N_Y, N_X), np.int16), DataError, "REGIONS: no pixel has a number above 0"),
        ("REGIONS", np.full((N_Y, N_X), 2**40), ParameterError, "label"),
        ("ALPHA", np.full((N_Y, N_X), np.nan), DataError, "ALPHA: no pixel of a region has a finite alpha"),
        ("SCI", np.zeros(7), ShapeError, "flux"),
        ("DQ", np.zeros((N_Y, N_X)), DtypeError, "dq"),
    ]
    for i, (name, plane, error, message) in enumerate(cases):
        path = tmp_path / f"{i}.fits"
        units(**{name: plane}).writeto(path)
        with pytest.raises(error, match=rf"{i}\.fits.*{message}"):
            read_image(path)
    hdus = units(SCI=None)
    hdus.append(fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.zeros(3))], name="SCI"))
    hdus.writeto(tmp_path / "table.fits")
    with pytest.raises(FileReadError, match=r"extension SCI of .*table\.fits holds no image"):
        read_image(tmp_path / "table.fits")
    hdus = units()
    hdus["SCI"].header["DISPAXIS"] = 3
    hdus.writeto(tmp_path / "axis.fits")
    with pytest.raises(DataError, match=r"axis\.fits: DISPAXIS is 3; it must be 1 \(x\) or 2 \(y\)"):
        read_image(tmp_path / "axis.fits")


def test_damaged_files(tmp_path: Path) -> None:
    whole, packed = tmp_path / "whole.fits", tmp_path / "packed.fits.gz"
    units().writeto(whole)
    content = whole.read_bytes()
    packed.write_bytes(gzip.compress(content))
    for n_bytes in (0, 10, 100, 2880, 4000, 6000, 10_000, len(content) // 2, len(content) - 2880):
        path = tmp_path / f"cut{n_bytes}.fits"
        path.write_bytes(content[:n_bytes])
        with pytest.raises(FileReadError, match=rf"cut{n_bytes}\.fits"):
            open_exposure(path)
    squeezed = packed.read_bytes()
    for n_bytes in (2, 20, len(squeezed) // 2, len(squeezed) - 4):
        path = tmp_path / f"cut{n_bytes}.fits.gz"
        path.write_bytes(squeezed[:n_bytes])
        with pytest.raises(FileReadError, match=rf"cut{n_bytes}\.fits\.gz is damaged.*get a complete copy"):
            open_exposure(path)
    flipped = bytearray(squeezed)
    flipped[len(flipped) // 2] ^= 0xFF
    (tmp_path / "flipped.fits.gz").write_bytes(flipped)
    with pytest.raises(FileReadError, match=r"flipped\.fits\.gz is damaged"):
        open_exposure(tmp_path / "flipped.fits.gz")
    (tmp_path / "text.fits").write_text("hello\n" * 1000)
    with pytest.raises(FileReadError, match=r"text\.fits is not a FITS file"):
        open_exposure(tmp_path / "text.fits")
    with pytest.raises(FileReadError, match=r"none\.fits does not exist"):
        open_exposure(tmp_path / "none.fits")
    with pytest.raises(FileReadError, match="is a directory"):
        open_exposure(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units().writeto(tmp_path / "a.fits")

    def refuse(self: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FileReadError, match=r"a\.fits may not be read"):
        open_exposure(tmp_path / "a.fits")


def test_output_that_is_there_already(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    write_image(path, star())
    before = path.read_bytes()
    with pytest.raises(OutputExistsError, match="is there already"):
        write_image(path, star(flux=2 * star().flux))
    assert path.read_bytes() == before
    write_image(path, star(flux=2 * star().flux), overwrite=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    write_image(tmp_path / "a.fits", star())
    exposure = FitsExposure.open(tmp_path / "a.fits")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*arguments: object, **_: object) -> None:
        (name,) = (argument for argument in arguments if isinstance(argument, Path))
        with name.open("ab") as file:
            file.write(b"half")
        raise error

    monkeypatch.setattr(fits.HDUList, "writeto", fail)
    monkeypatch.setattr(fits, "append", fail)
    for factor in (1, 2):
        results = results_of(exposure, factor)
        with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
            exposure.save(results, tmp_path / "b.fits")
        with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
            exposure.save(results, tmp_path / "a.fits", overwrite=True)
        with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
            exposure.save(results, tmp_path / "c.fits.gz")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_exposure_can_be_replaced_by_its_product(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    write_image(path, star())
    exposure = FitsExposure.open(path)
    exposure.save(results_of(exposure, 1), path, overwrite=True)
    assert ("TRACE", 1) in names(path)


@pytest.mark.parametrize("letter", ["", "B"])
@pytest.mark.parametrize("kind", ["CDELT", "CD", "PC", "PC without diagonal", "none"])
@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("factor", [2.0, 1.5])
def test_the_world_stays_where_it_is(axis: int, factor: float, kind: str, letter: str) -> None:
    header = fits.Header()
    cards: dict[str, float] = {"CRPIX1": 10.0, "CRPIX2": 3.5, "CRVAL1": 100.0, "CRVAL2": -7.0}
    if kind == "CDELT":
        cards |= {"CDELT1": 0.5, "CDELT2": 0.25}
    elif kind == "CD":
        cards |= {"CD1_1": 0.5, "CD1_2": 0.1, "CD2_1": -0.2, "CD2_2": 0.25}
    elif kind == "PC":
        cards |= {"CDELT1": 0.5, "CDELT2": 0.25, "PC1_1": 0.9, "PC1_2": 0.1, "PC2_1": -0.1, "PC2_2": 0.9}
    elif kind == "PC without diagonal":
        cards |= {"CDELT1": 0.5, "CDELT2": 0.25, "PC1_2": 0.1}
    for name, value in cards.items():
        header[name + letter] = value

    def world(pixel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        matrix = np.eye(2)
        for i in (1, 2):
            for j in (1, 2):
                default = header.get(f"PC{i}_{j}{letter}", float(i == j)) * header.get(f"CDELT{i}{letter}", 1.0)
                if kind == "CD":
                    default = header[f"CD{i}_{j}{letter}"]
                matrix[i - 1, j - 1] = default
        reference = np.array([header[f"CRPIX{j}{letter}"] for j in (1, 2)])
        return np.asarray(matrix @ (pixel - reference))

    native, fine = np.array([4.0, 6.0]), np.array([4.0, 6.0])
    fine[axis - 1] = (native[axis - 1] - 0.5) * factor + 0.5
    before = world(native)
    refine_wcs(header, axis=axis, factor=factor)
    np.testing.assert_allclose(world(fine), before, rtol=1e-12)


def test_a_header_without_wcs_gets_none() -> None:
    header = fits.Header({"BUNIT": "Jy"})
    refine_wcs(header, axis=1, factor=2.0)
    assert list(header) == ["BUNIT"]
