"""The map of one pixel as FITS: laid out as the reference lays it out, with the right unit in every extension."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from pixtrace.exceptions import FileReadError, OutputError, OutputExistsError, ParameterError, PixtraceError, ShapeError
from pixtrace.io.pixelmap_fits import ScanRecord, write_pixel_fits
from pixtrace.io.pixelmap_fits_read import PixelImage, read_pixel_fits
from tests.reference import reference_root

SHAPE = (7, 5)
RESOLUTION = (5.0, 3.1)
REFERENCE = (1.5, 4.5)
#: What sofia_redux 1.5.2 writes wrongly: unit and range of every image are those of the data, and the time is 0.
WRONG_IN_REFERENCE = {"BUNIT", "DATAMIN", "DATAMAX", "INTEGRTN", "DATE"}


def opened(path: Path, **options: Any) -> Any:
    """Open a file with astropy, whose objects have no types."""
    return fits.open(path, **options)


def planes(seed: int = 1) -> dict[str, npt.NDArray[Any]]:
    """Return a map with holes of every kind."""
    rng = np.random.default_rng(seed)
    found: dict[str, npt.NDArray[Any]] = {
        "data": 100 * rng.standard_normal(SHAPE),
        "weight": rng.uniform(0.1, 2, SHAPE),
        "exposure": rng.uniform(0, 3, SHAPE),
        "flag": np.zeros(SHAPE, np.uint8),
    }
    found["flag"][0, 0], found["flag"][0, 1] = 1, 2
    found["data"][1, 1] = np.nan
    found["weight"][2, 2], found["weight"][2, 3], found["weight"][3, 3] = 0, np.nan, np.inf
    return found


def is_valid() -> npt.NDArray[np.bool_]:
    """Return which cells of `planes` have data."""
    valid = np.ones(SHAPE, bool)
    valid[[0, 1, 2, 2, 3], [0, 1, 2, 3, 3]] = False
    return valid


def write(path: Path, **changes: Any) -> Path:
    """Write a map with arguments changed."""
    arguments: dict[str, Any] = {"resolution": RESOLUTION, "reference_index": REFERENCE, "unit": "ct", **planes()}
    write_pixel_fits(path, **(arguments | changes))
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    given, valid = planes(), is_valid()
    found = read_pixel_fits(write(tmp_path / "a.fits"))
    np.testing.assert_array_equal(found.valid, valid)
    np.testing.assert_array_equal(found.data, np.where(valid, given["data"], np.nan))
    np.testing.assert_array_equal(found.exposure, np.where(valid, given["exposure"], 0))
    np.testing.assert_allclose(found.weight, np.where(valid, given["weight"], 0), rtol=1e-14)
    np.testing.assert_allclose(found.resolution, RESOLUTION, rtol=1e-15)
    np.testing.assert_allclose(found.reference_index, REFERENCE, rtol=1e-15)
    np.testing.assert_allclose(found.smoothing_fwhm, np.sqrt(5.0 * 3.1 * 4 * np.log(2) / np.pi))
    assert found.unit == "ct"


def test_every_extension_has_its_own_unit_and_range(tmp_path: Path) -> None:
    write(tmp_path / "a.fits.gz", integration_time=12.5, scans=[ScanRecord(scan_id="a-1", n_frames=7)])
    with opened(tmp_path / "a.fits.gz") as hdus:
        hdus.verify("exception")
        assert [hdu.header.get("EXTNAME") for hdu in hdus] == [None, "Exposure", "Noise", "S/N", "Scan-a-1"]
        assert [hdu.header.get("BUNIT") for hdu in hdus[:4]] == ["ct", "s", "ct", None]
        assert [hdu.header["INTEGRTN"] for hdu in hdus[:4]] == [12.5] * 4
        assert [hdu.header["SCANS"] for hdu in hdus[:4]] == [1] * 4
        for hdu in hdus[:4]:
            assert hdu.data.dtype == np.dtype(">f8")
            np.testing.assert_array_equal(np.isnan(hdu.data), ~is_valid())
            assert hdu.header["DATAMIN"] == np.nanmin(hdu.data)
            assert hdu.header["DATAMAX"] == np.nanmax(hdu.data)
        np.testing.assert_allclose(hdus["S/N"].data, hdus[0].data / hdus["Noise"].data, rtol=1e-15)
        assert hdus[4].data["Frames"][0] == 7
        assert hdus[4].columns["Integration_Time"].unit == "s"


def test_integration_time_is_that_of_the_cells_with_data(tmp_path: Path) -> None:
    found = read_pixel_fits(write(tmp_path / "a.fits"))
    np.testing.assert_allclose(found.header["INTEGRTN"], planes()["exposure"][is_valid()].sum())


def test_the_wcs_gives_offsets_from_the_source(tmp_path: Path) -> None:
    write(tmp_path / "a.fits")
    with opened(tmp_path / "a.fits") as hdus:
        for hdu in hdus:
            wcs = WCS(hdu.header)
            assert list(wcs.wcs.ctype) == ["FLON-TAN", "FLAT-TAN"]
            lon, lat = (angle << u.deg for angle in wcs.wcs_pix2world([[3.5, 2.5]], 0)[0])
            assert wcs.is_celestial
            np.testing.assert_allclose((lon.to_value("arcsec"), lat.to_value("arcsec")), (10.0, -6.2), rtol=1e-8)


def test_another_wcs(tmp_path: Path) -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN"], ["deg", "deg"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [30.0, -7.5], [2.5, 5.5], [-0.001, 0.001]
    write(tmp_path / "a.fits", wcs=wcs)
    with opened(tmp_path / "a.fits") as hdus:
        found = WCS(hdus["Noise"].header)
    np.testing.assert_allclose(found.wcs_pix2world([[3, 3]], 0), wcs.wcs_pix2world([[3, 3]], 0), rtol=1e-10)


def test_beams(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.fits",
        smoothing_fwhm=9.0,
        map_beam_fwhm=12.0,
        instrument_fwhm=7.8,
        filter_fwhm=30.0,
        correcting_fwhm=8.0,
        jansky=30.0,
    )
    header = read_pixel_fits(path).header
    found = {name: header[name] * 3600 for name in ("BMAJ", "BMIN", "IBMAJ", "SBMAJ", "XBMAJ", "CBMAJ")}
    expected = {"BMAJ": 15.0, "BMIN": 15.0, "IBMAJ": 12.0, "SBMAJ": 9.0, "XBMAJ": 30.0, "CBMAJ": 8.0}
    assert found == pytest.approx(expected, rel=1e-14)
    assert (header["BEAM"], header["SMOOTH"], header["RESOLUTN"], header["V2JY"]) == (7.8, 9.0, 15.0, 30.0)


def test_cards_and_history(tmp_path: Path) -> None:
    write(tmp_path / "a.fits", header={"OBJECT": ("Mars", "planet"), "MYVALUE": 3}, history=["levelled", "5 µm\n"])
    header = read_pixel_fits(tmp_path / "a.fits").header
    assert (header["OBJECT"], header.comments["OBJECT"], header["MYVALUE"]) == ("Mars", "planet", 3)
    assert list(header["HISTORY"]) == ["levelled", "5 ?m?"]


def test_a_map_without_data(tmp_path: Path) -> None:
    found = read_pixel_fits(write(tmp_path / "a.fits", flag=np.ones(SHAPE, int)))
    assert not found.valid.any()
    assert "DATAMIN" not in found.header
    assert found.header["INTEGRTN"] == 0


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"weight": np.zeros((7, 4))}, ShapeError, r"`weight` has shape \(7, 4\)"),
        ({"data": np.zeros(5)}, ShapeError, "`data` has 1 dimensions"),
        ({"flag": np.zeros(SHAPE)}, ParameterError, "`flag` has dtype float64"),
        ({"resolution": (5.0, 0.0)}, ParameterError, "`resolution`"),
        ({"resolution": (np.nan, 5.0)}, ParameterError, "`resolution`"),
        ({"reference_index": (np.inf, 5.0)}, ParameterError, "`reference_index`"),
        ({"header": {"BUNIT": "Jy"}}, ParameterError, "the card BUNIT is written by pixtrace itself"),
        ({"header": {"BAD": object()}}, ParameterError, "the card BAD"),
        ({"scans": [ScanRecord(scan_id="µ")]}, PixtraceError, "expected printable ASCII"),
    ],
)
def test_arguments_that_make_no_sense(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write(tmp_path / "a.fits", **changes)
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.fits").write_text("old")
    with pytest.raises(OutputExistsError):
        write(tmp_path / "a.fits")
    with pytest.raises(OutputError, match="make it first"):
        write(tmp_path / "none" / "a.fits")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write(tmp_path / "a.fits", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.fits"]


def damaged(directory: Path, change: str) -> Path:
    """Write a file and damage it."""
    path = write(directory / "a.fits")
    if change == "cut":
        path.write_bytes(path.read_bytes()[:-2000])
        return path
    with opened(path, mode="update") as hdus:
        if change == "no noise":
            del hdus["Noise"]
        elif change == "no grid":
            del hdus[0].header["CDELT2"]
        elif change == "text":
            hdus[0].header["CRPIX1"] = "left"
        elif change == "parsec":
            hdus[0].header["CUNIT1"] = "pc"
        elif change == "shape":
            hdus["Exposure"].data = np.zeros((3, 3))
        elif change == "no image":
            hdus["Exposure"].data = None
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("cut", "ends too early"),
        ("no noise", r"has no extension Noise; it has PRIMARY, Exposure, S/N"),
        ("no grid", "CDELT2 = None; expected a number"),
        ("text", "CRPIX1 = 'left'; expected a number"),
        ("parsec", "CUNIT1 = 'pc'; expected deg"),
        ("shape", r"Exposure has shape \(3, 3\); expected one image of \(7, 5\)"),
        ("no image", "holds no image"),
    ],
)
def test_damage_is_named(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(FileReadError, match=message):
        read_pixel_fits(damaged(tmp_path, change))


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match="does not exist"):
        read_pixel_fits(tmp_path / "a.fits")
    (tmp_path / "a.fits").write_text("not FITS")
    with pytest.raises(FileReadError, match="is not a FITS file"):
        read_pixel_fits(tmp_path / "a.fits")


@pytest.mark.parametrize("pixel", [392, 431, 471])
def test_agrees_with_the_reference(tmp_path: Path, pixel: int) -> None:
    root = reference_root() / "pixelmap"
    with np.load(root / "scan_result.npz") as result:
        number = result["map_pixels"].tolist().index(pixel)
        state = {name: result[f"final_{name}"][number] for name in ("data", "weight", "exposure", "flag")}
        resolution, index = result["resolution"].tolist(), result["reference_index"].tolist()
    reference = read_pixel_fits(root / f"scan_pixel_{pixel}.fits")
    assert isinstance(reference, PixelImage)
    scan = ScanRecord(scan_id="2016-12-14_HA_F999-sim-240", n_frames=8130, integration_time=39.9996)
    write_pixel_fits(
        tmp_path / "a.fits",
        **state,
        resolution=resolution,
        reference_index=index,
        unit="ct",
        jansky=30.0,
        instrument_fwhm=7.8,
        scans=[scan],
    )
    with opened(tmp_path / "a.fits") as ours, opened(root / f"scan_pixel_{pixel}.fits") as theirs:
        assert [hdu.name for hdu in ours] == [hdu.name for hdu in theirs]
        assert ours[4].columns.names == theirs[4].columns.names
        for one, other in zip(ours[:4], theirs[:4], strict=True):
            # What was subtracted once more as the level is rounding, relative to the largest number of the map.
            np.testing.assert_allclose(one.data, other.data, rtol=1e-9, atol=1e-15 * np.nanmax(other.data))
            both = set(one.header) & set(other.header) - WRONG_IN_REFERENCE
            assert {"CRPIX1", "CDELT2", "CTYPE1", "BMAJ", "SBMAJ", "RESOLUTN", "V2JY", "BEAM", "SCANS"} <= both
            for name in both:
                found, expected = one.header[name], other.header[name]
                assert found == (pytest.approx(expected, rel=1e-14) if isinstance(expected, float) else expected), name
        assert theirs[1].header["BUNIT"] == "ct"
        assert ours[1].header["BUNIT"] == "s"
        assert theirs[0].header["INTEGRTN"] == 0
        assert ours[0].header["INTEGRTN"] == pytest.approx(state["exposure"].sum())
