"""Which kind of file it is, who opens it, and what is in it."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import FileReadError, PixtraceError, UnsupportedModeError
from pixtrace.io.exposure import ExposureInfo, ImageInfo
from pixtrace.io.fits import FitsExposure
from pixtrace.io.fits_read import NEEDED_EXTENSIONS
from pixtrace.io.fitsfile import GZIP_MAGIC, extension_label, find_extension, open_fits, read_array
from pixtrace.trace.params import PRESETS, preset_for_mode

if TYPE_CHECKING:
    import os

    from pixtrace.io.exposure import Exposure
    from pixtrace.io.jwst.container import FitsContainer

__all__ = ["inspect", "is_series", "jwst_container", "open_exposure"]

_CARD = 80
_ROUNDING = 1e-9  # how far the scale of a WCS may be from 1
_MOST_CARDS = 20_000  # a JWST header has some hundred
_DETAILS = (
    ("TELESCOP", "telescope"),
    ("INSTRUME", "instrument"),
    ("EXP_TYPE", "exposure type"),
    ("DETECTOR", "detector"),
    ("CHANNEL", "channel"),
    ("BAND", "band"),
    ("FILTER", "filter"),
    ("GRATING", "grating"),
    ("SUBARRAY", "subarray"),
    ("TARGNAME", "target"),
    ("DATE-OBS", "date"),
    ("DATAMODL", "data model"),
    ("CAL_VER", "calibrated with jwst"),
    ("S_TRCMOD", "trace model step"),
)


def open_exposure(path: str | os.PathLike[str], *, preset: str | None = None) -> Exposure:
    """Open an exposure of either kind.

    Parameters
    ----------
    path : path-like
        A calibrated JWST exposure (TELESCOP = JWST and an ASDF extension; needs the extra ``jwst``), or a file of the
        plain format, see `pixtrace.io.fits`. Packed with gzip or not.
    preset : str, optional
        Name of the parameter set; None takes that of the observing mode or of the file.

    Returns
    -------
    Exposure
        The opened exposure, a context manager.

    Raises
    ------
    FileReadError
        It does not exist, is not FITS, is damaged, or lacks an extension.
    DataError
        It has been oversampled already, or holds nothing to be fitted.
    UnsupportedModeError
        It is of a mode for which there is no trace model.
    MissingExtraError
        It is a JWST exposure, and the packages that read it are not installed.
    ParameterError
        There is no such preset.
    """
    container = jwst_container(Path(path))
    if container is None:
        return FitsExposure.open(path, preset=preset)
    from pixtrace.io.jwst import JwstExposure

    return JwstExposure(container, preset)


def jwst_container(path: Path) -> FitsContainer | None:
    """Read a file if it is a JWST exposure.

    Parameters
    ----------
    path : Path
        Any FITS file.

    Returns
    -------
    FitsContainer or None
        None if it is to be read as a file of the plain format.

    Raises
    ------
    FileReadError
        It is a JWST exposure without a WCS, or damaged.
    """
    if _telescope(path) != "JWST":
        return None
    from pixtrace.io.jwst.container import read_container

    container = read_container(path)
    if container.find("ASDF") is not None:
        return container
    if container.find("ALPHA") is not None or container.find("REGIONS") is not None:
        return None
    msg = f"{path} is a JWST exposure without a WCS (no ASDF extension); run the assign_wcs step of jwst first"
    raise FileReadError(msg)


def inspect(path: str | os.PathLike[str]) -> ExposureInfo:
    """Say what is in a file, from its headers and, with the extra ``jwst``, from the WCS; computes nothing.

    Parameters
    ----------
    path : path-like
        Any FITS file.

    Returns
    -------
    ExposureInfo
        Its images, mode, preset, and why it could not be oversampled if that is so.

    Raises
    ------
    FileReadError
        It does not exist, is not FITS, or is damaged.
    """
    path = Path(path)
    with open_fits(path) as hdus:
        primary = hdus[0].header
        is_jwst = _is_jwst(hdus)
        versions = sorted({int(hdu.ver) for hdu in hdus if hdu.name.upper() == "SCI"})
        sci = [hdus[find_extension(hdus, "SCI", version)] for version in versions]
        preset, problem = _jwst_mode(hdus) if is_jwst else _plain_mode(hdus, versions)
        oversampled = _oversampled(primary)
        if is_jwst and not problem:
            problem, oversampled = _look_at_wcs(path, oversampled)
        if oversampled is not None and not problem:
            by = "" if np.isnan(oversampled) else f", by {oversampled:g}"
            problem = f"it has been through the trace model already{by}"
        return ExposureInfo(
            path=path,
            kind="jwst" if is_jwst else "fits",
            preset=preset,
            images=tuple(_image_info(hdus, hdu, path, is_jwst=is_jwst) for hdu in sci),
            n_integrations=max((hdu.shape[0] for hdu in sci if len(hdu.shape) > 2), default=1),  # noqa: PLR2004
            unit=next((str(hdu.header["BUNIT"]) for hdu in sci if "BUNIT" in hdu.header), ""),
            oversampled=oversampled,
            problem=problem,
            details={label: str(primary[name]).strip() for name, label in _DETAILS if primary.get(name) is not None},
        )


def is_series(path: Path) -> bool:
    """Whether a file holds a time series: images with a third axis.

    Parameters
    ----------
    path : Path
        Any FITS file.

    Returns
    -------
    bool
        True if any SCI is a cube.

    Raises
    ------
    FileReadError
        It does not exist, is not FITS, or is damaged.
    """
    with open_fits(path) as hdus:
        return any(len(hdu.shape) > 2 for hdu in hdus if hdu.name.upper() == "SCI")  # noqa: PLR2004 - x and y


def _telescope(path: Path) -> str:
    """Return TELESCOP of the primary header without reading more than that; "" if that cannot be done."""
    try:
        with path.open("rb") as file:
            is_packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        with gzip.open(path) if is_packed else path.open("rb") as file:
            for _ in range(_MOST_CARDS):
                card = file.read(_CARD)
                if card[:9] == b"TELESCOP=":
                    return card[9:].split(b"/")[0].strip(b" '").decode("ascii", "replace").upper()
                if card[:8] in {b"END     ", b""}:
                    return ""
    except (OSError, EOFError, zlib.error):  # whoever opens it next will say what is wrong with it
        pass
    return ""


def _is_jwst(hdus: Any) -> bool:  # noqa: ANN401 - astropy has no types
    """Whether a file is a JWST exposure rather than one of the plain format."""
    if str(hdus[0].header.get("TELESCOP", "")).strip().upper() != "JWST":
        return False
    return _has_wcs(hdus) or not any(hdu.name.upper() in {"ALPHA", "REGIONS"} for hdu in hdus)


def _has_wcs(hdus: Any) -> bool:  # noqa: ANN401
    """Whether there is an extension that can hold a WCS of gwcs."""
    return any(hdu.name.upper() == "ASDF" for hdu in hdus)


def _jwst_mode(hdus: Any) -> tuple[str | None, str]:  # noqa: ANN401
    """Return the preset of a JWST exposure and what is wrong with it."""
    header = hdus[0].header
    try:
        preset = preset_for_mode(
            str(header.get("EXP_TYPE", "")), str(header.get("DETECTOR", "")), str(header.get("GRATING", ""))
        )
    except UnsupportedModeError as error:
        return None, str(error)
    if not any(hdu.name.upper() == "SCI" for hdu in hdus):
        return preset, "it has no extension SCI"
    return preset, "" if _has_wcs(hdus) else "it has no WCS (no ASDF extension): run the assign_wcs step of jwst first"


def _look_at_wcs(path: Path, oversampled: float | None) -> tuple[str, float | None]:
    """Return what the WCS says is wrong with a JWST exposure, and by how much it says it has been oversampled.

    Where it cannot be looked at, because the extra ``jwst`` is not installed or the tree is damaged, what the headers
    say about the factor stands.
    """
    from pixtrace.io.jwst.container import read_container
    from pixtrace.io.jwst.tree import AsdfTree
    from pixtrace.io.jwst.wcs import oversampled_by, steps_of

    try:
        unit = read_container(path).require("ASDF", why="which holds the WCS")
        tree = AsdfTree(unit.data, f"{path}, extension ASDF")
    except PixtraceError:
        return "", oversampled
    tops = tree.items(tree.get("slits")) or [tree.root]
    nodes = [tree.child(top, "meta", "wcs") for top in tops]
    if not all(steps_of(tree, node) for node in nodes):
        return "it has no WCS (meta.wcs): run the assign_wcs step of jwst first", oversampled
    if oversampled is None or np.isfinite(oversampled):
        return "", oversampled
    factor = max(oversampled_by(tree, node) for node in nodes if node is not None)
    return "", factor if abs(factor - 1) > _ROUNDING else None


def _plain_mode(hdus: Any, versions: list[int]) -> tuple[str | None, str]:  # noqa: ANN401
    """Return the preset of a file of the plain format and what is wrong with it."""
    preset = str(hdus[0].header.get("PIXPRSET", "generic")).strip()
    if preset not in PRESETS:
        return None, f"there is no preset {preset!r} (PIXPRSET)"
    missing = [
        extension_label(name, version)
        for version in versions or [1]
        for name in NEEDED_EXTENSIONS
        if find_extension(hdus, name, version) is None
    ]
    return preset, f"it has no extension {', '.join(missing)}" if missing else ""


def _oversampled(header: Any) -> float | None:  # noqa: ANN401
    """Return the factor by which a file has been oversampled, NaN if that is not known, None if it has not."""
    factor = header.get("PIXFACT")
    if isinstance(factor, (int, float)):
        return None if factor == 1 else float(factor)
    return float("nan") if str(header.get("S_TRCMOD", "")).strip().upper() == "COMPLETE" else None


def _image_info(hdus: Any, sci: Any, path: Path, *, is_jwst: bool) -> ImageInfo:  # noqa: ANN401
    """Return what is known about one image."""
    planes = tuple(hdu.name for hdu in hdus[1:] if hdu.ver == sci.ver and hdu.name.upper() != "ASDF")
    n_regions = None
    where = None if is_jwst else find_extension(hdus, "REGIONS", sci.ver)
    if where is not None:
        try:
            labels = np.unique(read_array(hdus, where, path))
            n_regions = int(np.count_nonzero(labels > 0))
        except PixtraceError:
            n_regions = None
    return ImageInfo(
        name=str(sci.header.get("SLTNAME", "")).strip(), shape=tuple(sci.shape), planes=planes, n_regions=n_regions
    )
