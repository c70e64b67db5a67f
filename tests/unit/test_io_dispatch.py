import math
from pathlib import Path

import numpy as np
import pytest

from pixtrace.exceptions import FileReadError
from pixtrace.io import inspect, open_exposure, write_image
from tests.unit.test_io_fits import N_X, N_Y, fits, results_of, star, units


def jwst(path: Path, *, wcs: bool = True, **keywords: str | float) -> Path:
    """Write what looks like a JWST exposure, headers alone."""
    primary = fits.PrimaryHDU()
    primary.header.update({"TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "EXP_TYPE": "NRS_IFU", "DETECTOR": "NRS2"})
    primary.header.update(keywords)
    units_ = [primary]
    for version in (1, 2):
        sci = fits.ImageHDU(np.zeros((5, 6), np.float32), name="SCI", ver=version)
        sci.header.update({"BUNIT": "MJy/sr", "SLTNAME": f"S{version}"})
        units_ += [sci, fits.ImageHDU(np.zeros((5, 6), np.int32), name="DQ", ver=version)]
    if wcs:
        units_.append(fits.BinTableHDU.from_columns([fits.Column("a", "B", array=np.zeros(3))], name="ASDF"))
    fits.HDUList(units_).writeto(path)
    return path


def test_inspect_a_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "a.fits.gz"
    write_image(path, [star(name="S1"), star()], preset="nirspec-ifu")
    info = inspect(path)
    assert (info.path, info.kind, info.preset, info.n_integrations) == (path, "fits", "nirspec-ifu", 1)
    assert (info.oversampled, info.problem) == (None, "")
    first, second = info.images
    assert (first.name, first.shape, first.n_regions, second.name) == ("S1", (N_Y, N_X), 1, "")
    assert first.planes == ("SCI", "ERR", "DQ", "ALPHA", "REGIONS", "WAVELENGTH", "VAR_RNOISE")


def test_inspect_a_time_series(tmp_path: Path) -> None:
    units(SCI=np.zeros((3, N_Y, N_X))).writeto(tmp_path / "a.fits")
    info = inspect(tmp_path / "a.fits")
    assert (info.n_integrations, info.images[0].shape) == (3, (3, N_Y, N_X))


def test_inspect_says_what_is_missing(tmp_path: Path) -> None:
    units(ALPHA=None, REGIONS=None).writeto(tmp_path / "a.fits")
    assert inspect(tmp_path / "a.fits").problem == "it has no extension ALPHA, REGIONS"
    units(SCI=None).writeto(tmp_path / "b.fits")
    info = inspect(tmp_path / "b.fits")
    assert (info.problem, info.images) == ("it has no extension SCI", ())
    write_image(tmp_path / "c.fits", star())
    fits.setval(tmp_path / "c.fits", "PIXPRSET", value="mrs")
    info = inspect(tmp_path / "c.fits")
    assert (info.preset, info.problem) == (None, "there is no preset 'mrs' (PIXPRSET)")


def test_inspect_products(tmp_path: Path) -> None:
    write_image(tmp_path / "a.fits", star())
    with open_exposure(tmp_path / "a.fits") as exposure:
        exposure.save(results_of(exposure, 2), tmp_path / "b.fits")
        exposure.save(results_of(exposure, 1), tmp_path / "c.fits")
    info = inspect(tmp_path / "b.fits")
    assert (info.oversampled, info.problem) == (2.0, "it has been through the trace model already, by 2")
    info = inspect(tmp_path / "c.fits")
    assert (info.oversampled, info.problem) == (None, "")


def test_inspect_a_jwst_exposure(tmp_path: Path) -> None:
    info = inspect(jwst(tmp_path / "a.fits", GRATING="PRISM"))
    assert (info.kind, info.preset, info.unit) == ("jwst", "nirspec-ifu-prism-nrs2", "MJy/sr")
    assert [(image.name, image.n_regions, image.planes) for image in info.images] == [
        ("S1", None, ("SCI", "DQ")),
        ("S2", None, ("SCI", "DQ")),
    ]
    assert info.details["instrument"] == "NIRSPEC"
    assert info.problem == ""
    info = inspect(jwst(tmp_path / "b.fits", EXP_TYPE="NRC_WFSS"))
    assert info.preset is None
    assert "no trace model for exposures of type 'NRC_WFSS'" in info.problem
    info = inspect(jwst(tmp_path / "c.fits", S_TRCMOD="COMPLETE"))
    assert info.oversampled is not None
    assert math.isnan(info.oversampled)
    assert info.problem == "it has been through the trace model already"
    info = inspect(jwst(tmp_path / "d.fits", S_TRCMOD="COMPLETE", PIXFACT=3.0))
    assert info.oversampled == 3.0
    info = inspect(jwst(tmp_path / "e.fits", wcs=False))
    assert "it has no WCS" in info.problem


def test_a_jwst_exposure_without_wcs(tmp_path: Path) -> None:
    path = jwst(tmp_path / "a.fits", wcs=False)
    with pytest.raises(FileReadError, match=r"a\.fits is a JWST exposure without a WCS .*assign_wcs"):
        open_exposure(path)


def test_jwst_planes_in_the_plain_format(tmp_path: Path) -> None:
    write_image(tmp_path / "a.fits", star())
    fits.setval(tmp_path / "a.fits", "TELESCOP", value="JWST")
    assert open_exposure(tmp_path / "a.fits").kind == "fits"
    assert inspect(tmp_path / "a.fits").kind == "fits"


def test_inspect_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.fits").write_text("no")
    with pytest.raises(FileReadError, match=r"a\.fits is not a FITS file"):
        inspect(tmp_path / "a.fits")
    with pytest.raises(FileReadError, match=r"b\.fits does not exist"):
        inspect(tmp_path / "b.fits")
