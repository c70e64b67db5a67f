"""What is wrong with a JWST file is said with the file's name, the place and the remedy."""

import errno
import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.exceptions import (
    DataError,
    FileReadError,
    MemoryLimitError,
    MissingExtraError,
    OutputError,
    ParameterError,
    PixtraceError,
    ShapeError,
    UnsupportedModeError,
)
from pixtrace.io.jwst import JwstExposure
from pixtrace.io.jwst.modes import MODES
from pixtrace.io.jwst.tree import need_extra
from tests.jwst_models import miri_lrs, nirspec_ifu, nirspec_ifu_by_slit, nirspec_slits, write_case
from tests.jwst_product import make_product, make_results
from tests.untyped import datamodels, fits, gwcs


@pytest.fixture(scope="module")
def mrs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small MRS exposure."""
    path = tmp_path_factory.mktemp("exposures") / "mrs_cal.fits"
    write_case("mrs", path)
    return path


def edited(source: Path, target: Path, edit: Callable[[Any], Any]) -> Path:
    """Write a changed copy of a file."""
    with fits.open(source) as hdus:
        edit(hdus)
        hdus.writeto(target, overwrite=True)
    return target


# -- files


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match=r"nothing\.fits cannot be read: No such file"):
        JwstExposure.open(tmp_path / "nothing.fits")
    with pytest.raises(FileReadError, match="directory"):
        JwstExposure.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"#ASDF 1.0.0\n", b"hello" * 1000])
def test_not_fits(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.fits"
    path.write_bytes(content)
    with pytest.raises(FileReadError, match=r"text\.fits is not a FITS file"):
        JwstExposure.open(path)


@pytest.mark.parametrize("share", [0.001, 0.05, 0.3, 0.5, 0.7, 0.9, 0.97])
@pytest.mark.parametrize("packed", [False, True])
def test_truncated(mrs: Path, tmp_path: Path, share: float, *, packed: bool) -> None:
    content = gzip.compress(mrs.read_bytes(), 1) if packed else mrs.read_bytes()
    path = tmp_path / "short_cal.fits"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileReadError, match="short_cal"):
        JwstExposure.open(path)


def test_truncation_names_the_extension(mrs: Path, tmp_path: Path) -> None:
    path = tmp_path / "short_cal.fits"
    path.write_bytes(mrs.read_bytes()[:50000])
    with pytest.raises(FileReadError, match=r"extension ERR should hold 33600 bytes of data.*copy or download"):
        JwstExposure.open(path)


def test_damaged_gzip(mrs: Path, tmp_path: Path) -> None:
    content = bytearray(gzip.compress(mrs.read_bytes()))
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / "bad_cal.fits.gz"
    path.write_bytes(content)
    with pytest.raises(FileReadError, match="bad_cal"):
        JwstExposure.open(path)


def test_no_flux(mrs: Path, tmp_path: Path) -> None:
    path = edited(mrs, tmp_path / "x.fits", lambda hdus: hdus.__delitem__("SCI"))
    with pytest.raises(FileReadError, match=r"x\.fits: there is no extension SCI, which holds the flux; found ERR"):
        JwstExposure.open(path)


def test_header_without_sizes(mrs: Path, tmp_path: Path) -> None:
    content = mrs.read_bytes().replace(b"NAXIS1  =                   70", b"OTHER1  =                   70", 1)
    path = tmp_path / "x.fits"
    path.write_bytes(content)
    with pytest.raises(FileReadError, match="does not tell the size"):
        JwstExposure.open(path)


# -- WCS


def test_no_wcs(mrs: Path, tmp_path: Path) -> None:
    path = edited(mrs, tmp_path / "x.fits", lambda hdus: hdus.__delitem__("ASDF"))
    with pytest.raises(FileReadError, match=r"no extension ASDF, which holds the WCS; run the assign_wcs step"):
        JwstExposure.open(path)
    with datamodels.open(mrs) as model:
        model.meta.wcs = None
        model.save(tmp_path / "y.fits")
    with pytest.raises(FileReadError, match=r"y\.fits, extension ASDF: there is no WCS \(meta\.wcs\)"):
        JwstExposure.open(tmp_path / "y.fits")


def test_slit_without_wcs(tmp_path: Path) -> None:
    model = nirspec_slits()
    model.slits[1].meta.wcs = None
    model.save(tmp_path / "x.fits")
    with pytest.raises(FileReadError, match=r"no WCS for slit 2"):
        JwstExposure.open(tmp_path / "x.fits")


@pytest.mark.parametrize(
    ("old", "new"), [(b"#ASDF 1.0.0", b"#XSDF 1.0.0"), (b"instrument:", b"instrument: {"), (b"\n...\n", b"\n+++\n")]
)
def test_tree_that_is_none(mrs: Path, tmp_path: Path, old: bytes, new: bytes) -> None:
    content = mrs.read_bytes()
    assert old in content
    path = tmp_path / "x.fits"
    path.write_bytes(content.replace(old, new)[: len(content)])
    with pytest.raises(FileReadError, match="extension ASDF"):
        JwstExposure.open(path)


def test_wcs_without_the_frame(tmp_path: Path) -> None:
    model = miri_lrs()
    steps = model.meta.wcs.pipeline
    frames = [steps[0].frame, model.meta.wcs.output_frame]
    model.meta.wcs = gwcs.WCS([(frames[0], steps[0].transform | steps[1].transform), (frames[1], None)])
    model.save(tmp_path / "x.fits")
    with pytest.raises(FileReadError, match=r"the WCS has no frame alpha_beta; found detector, world"):
        JwstExposure.open(tmp_path / "x.fits")


@pytest.mark.parametrize("module", ["yaml", "asdf", "gwcs", "stdatamodels"])
@pytest.mark.parametrize("name", ["mrs", "lrs"])
def test_missing_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str) -> None:
    write_case(name, tmp_path / "x.fits")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"need {module}.*pixtrace\[jwst\]"):
        JwstExposure.open(tmp_path / "x.fits")
    with pytest.raises(MissingExtraError, match=module):
        need_extra(module)


# -- modes


@pytest.mark.parametrize("exp_type", ["NRC_WFSS", "NIS_WFSS", "MIR_WFSS", "NIS_SOSS", "MIR_IMAGE", "NRS_LAMP"])
def test_unsupported_mode(mrs: Path, tmp_path: Path, exp_type: str) -> None:
    path = edited(mrs, tmp_path / "x.fits", lambda hdus: hdus[0].header.set("EXP_TYPE", exp_type))
    with pytest.raises(UnsupportedModeError, match="EXP_TYPE") as caught:
        JwstExposure.open(path)
    message = str(caught.value)
    assert exp_type in message
    assert "x.fits" in message
    assert all(mode in message for mode in MODES)


def test_no_mode_at_all(mrs: Path, tmp_path: Path) -> None:
    path = edited(mrs, tmp_path / "x.fits", lambda hdus: hdus[0].header.remove("EXP_TYPE"))
    with pytest.raises(FileReadError, match="no EXP_TYPE"):
        JwstExposure.open(path)


def test_lrs_of_an_older_pipeline(tmp_path: Path) -> None:
    miri_lrs(model=datamodels.ImageModel()).save(tmp_path / "x.fits")
    with pytest.raises(UnsupportedModeError, match=r"expected as SlitModel, found DATAMODL 'ImageModel'; make the cal"):
        JwstExposure.open(tmp_path / "x.fits")


@pytest.mark.parametrize("name", ["mrs", "ifu_nrs1", "fixed_slits", "lrs"])
def test_already_oversampled(tmp_path: Path, name: str) -> None:
    write_case(name, tmp_path / "in_cal.fits")
    make_product(tmp_path / "in_cal.fits", tmp_path / "product.fits", 1.5)
    with pytest.raises(DataError, match=r"product\.fits has been oversampled already, by 1\.5 \(frame 'coordinates'"):
        JwstExposure.open(tmp_path / "product.fits")


# -- planes


def test_planes_of_different_shapes(mrs: Path, tmp_path: Path) -> None:
    def cut(hdus: Any) -> None:
        hdus["ERR"].data = hdus["ERR"].data[:-1]

    with pytest.raises(ShapeError, match=r"x\.fits, extension SCI,1 and what belongs to it: .*error"):
        JwstExposure.open(edited(mrs, tmp_path / "x.fits", cut))

    def cut_all(hdus: Any) -> None:
        for hdu in hdus[1:-1]:
            hdu.data = hdu.data[:-1]

    with pytest.raises(DataError, match=r"shape \(119, 70\); the map of its slices has \(120, 70\)"):
        JwstExposure.open(edited(mrs, tmp_path / "y.fits", cut_all))


def test_slices_without_transform(tmp_path: Path) -> None:
    model = nirspec_ifu()
    model.regions = np.where(model.regions == 4, 77, model.regions)
    model.save(tmp_path / "x.fits")
    with pytest.raises(DataError, match=r"slices \[77\] have no transform"):
        JwstExposure.open(tmp_path / "x.fits")


def test_ifu_without_slice_map(tmp_path: Path) -> None:
    model = nirspec_ifu_by_slit()
    model.regions = None
    model.save(tmp_path / "x.fits")
    with pytest.raises(FileReadError, match="no extension REGIONS"):
        JwstExposure.open(tmp_path / "x.fits")


# -- calls


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 0.0, -1.0, 0.5])
def test_impossible_factor(mrs: Path, factor: float) -> None:
    with pytest.raises(ParameterError, match="finite"):
        JwstExposure.open(mrs).alpha_os(0, factor)


def test_factor_beyond_all_memory(mrs: Path) -> None:
    with pytest.raises((MemoryLimitError, ParameterError)) as caught:
        JwstExposure.open(mrs).alpha_os(0, 1e9)
    assert isinstance(caught.value, PixtraceError)


def test_results_of_another_exposure(mrs: Path, tmp_path: Path) -> None:
    with JwstExposure.open(mrs) as exposure:
        results = make_results(exposure, 1.0)
        with pytest.raises(ParameterError, match="for 1 images of mrs_cal"):
            exposure.save([*results, *results], tmp_path / "x.fits")
        with pytest.raises(ParameterError, match="0 results"):
            exposure.save([], tmp_path / "x.fits")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("failure", "expected", "message"),
    [
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
        (OSError(errno.ENOSPC, "No space left on device"), OutputError, r"cannot write .*x\.fits: the disk is full"),
    ],
)
def test_a_failure_midway_leaves_nothing_behind(
    mrs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    expected: type[BaseException],
    message: str,
) -> None:
    from pixtrace.io.jwst import pieces

    written: list[int] = []

    def fail(_: object, content: bytes) -> None:
        written.append(len(content))
        if len(written) > 5:
            raise failure

    with JwstExposure.open(mrs) as exposure:
        results = make_results(exposure, 2.0)
        monkeypatch.setattr(pieces, "write_all", fail)
        with pytest.raises(expected, match=message):
            exposure.save(results, tmp_path / "x.fits")
    assert not list(tmp_path.iterdir())
