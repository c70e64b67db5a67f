"""Writing and reading of `pixtrace.scan.PixelMap`: what `pixtrace.scan.products.PixelMapFiles` asks for.

Names of files begin with the object and the scan, ``{object}.{scan}``, and a ``-{last scan}`` if there are several, or
with what the option ``name`` says. Files that are there already are replaced, each in one step.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pixtrace.exceptions import OutputError, ParameterError
from pixtrace.io.pixel_table import write_pixel_table
from pixtrace.io.pixelmap_cube import write_checkpoint
from pixtrace.io.pixelmap_cube_read import read_checkpoint
from pixtrace.io.pixelmap_fits import ScanRecord, write_pixel_fits
from pixtrace.io.rcp import write_rcp
from pixtrace.scan._units import as_seconds
from pixtrace.scan.checkpoint import from_state, to_state
from pixtrace.scan.configuration import setting
from pixtrace.scan.stack import MapStack

if TYPE_CHECKING:
    import os

    from pixtrace.scan.pixel_map import PixelMap

__all__ = ["as_file_name", "core_name", "read", "write", "write_fits", "write_pixel_data"]

Model = TypeVar("Model", bound="PixelMap")

_NOT_IN_NAMES = re.compile(r"[^\w.+-]+")


def core_name(source: PixelMap) -> str:
    """Return the first part of the names of files, without anything that a file name should not have."""
    name = setting(source.configuration, "name")
    if name is None:
        scans = [str(scan.get_id()) for scan in source.scans]
        last = f"-{scans[-1]}" if len(scans) > 1 else ""
        name = f"{source.get_source_name() or 'source'}.{scans[0]}{last}" if scans else "pixelmaps"
    return as_file_name(str(name)) or "pixelmaps"


def as_file_name(text: str) -> str:
    """Return a text without anything that a file name should not have; it may be empty."""
    return _NOT_IN_NAMES.sub("_", text).strip("._")


def _folder(path: str | os.PathLike[str]) -> Path:
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder} cannot be made a folder for products: {error.strerror or error}; choose another one"
        raise OutputError(msg) from error
    return folder


def write(source: PixelMap, path: str | os.PathLike[str]) -> list[Path]:
    """Write the maps that the option ``pixelmap.writemaps`` asks for, levelled and reweighted, and the pixel data.

    Positions and couplings go to the channels of the first scan too. The maps themselves stay as they are.

    Parameters
    ----------
    source : PixelMap
        The maps.
    path : path-like
        The folder; it is made if it is not there.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ParameterError
        If a map is asked for that there is not.
    OutputError
        If a file cannot be written.
    """
    folder = _folder(path)
    if source.scans:
        source.calculate_pixel_data(smooth=False)
    files = [_write_map(source, number, folder) for number in _wanted(source)]
    return [*files, *write_pixel_data(source, folder)]


def _wanted(source: PixelMap) -> list[int]:
    wanted = setting(source.configuration, "pixelmap.writemaps")
    if wanted is None or wanted is False:
        return []
    numbers = list(source.pixel_maps)
    if wanted is True:
        return numbers
    missing = [number for number in wanted if number not in source.pixel_maps]
    if missing:
        few = ", ".join(str(number) for number in missing[:5])
        msg = f"pixelmap.writemaps asks for pixels without a map: {few}; there are {len(numbers)} maps"
        raise ParameterError(msg)
    return [int(number) for number in wanted]


def _write_map(source: PixelMap, number: int, folder: Path) -> Path:
    found = source.pixel_maps[number].copy()
    found.process_final()
    found.end_accumulation()
    grid, instrument = found.grid, source.info.instrument
    beam = source.get_point_size()
    smoothing = found.map.smoothing_fwhm
    jansky = float(getattr(instrument, "jansky_per_beam", math.nan))
    file = folder / f"{core_name(source)}.{number}.fits"
    write_pixel_fits(
        file,
        found.map.data,
        found.map.weight,
        found.map.exposure,
        found.map.flag,
        resolution=grid.resolution,
        reference_index=grid.reference_index,
        unit=str(getattr(instrument, "data_unit", "") or ""),
        smoothing_fwhm=smoothing,
        instrument_fwhm=beam,
        map_beam_fwhm=beam,
        filter_fwhm=found.map.filter_fwhm,
        correcting_fwhm=found.map.correcting_fwhm,
        jansky=1.0 / jansky if jansky > 0 else math.nan,
        scans=[_record(scan, instrument) for scan in source.scans],
        wcs=grid.wcs() if grid.projection != "tan" else None,
        header={
            "OBJECT": source.get_source_name(),
            "INSTRUME": str(getattr(instrument, "name", "")),
            "PIXEL": (number, "fixed index of the pixel"),
        },
        history=found.history,
        overwrite=True,
    )
    return file


def _record(scan: Any, instrument: Any) -> ScanRecord:  # noqa: ANN401 - ours or the reference's
    """Return what is known of a scan."""
    n_frames = sum(int(integration.size) for integration in getattr(scan, "integrations", []) or [])
    seconds = as_seconds(getattr(instrument, "integration_time", math.nan), "integration_time")
    return ScanRecord(scan_id=str(scan.get_id()), n_frames=n_frames, integration_time=n_frames * seconds)


def write_pixel_data(source: PixelMap, path: str | os.PathLike[str]) -> list[Path]:
    """Write positions and gains of the pixels as ``.rcp``, and all that is known of them as ECSV beside it.

    Parameters
    ----------
    source : PixelMap
        The maps, which are fitted if that was not done yet.
    path : path-like
        The folder; it is made if it is not there.

    Returns
    -------
    list of Path
        Both files.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    folder = _folder(path)
    table = source.get_pixel_table()
    core = core_name(source)
    rcp, ecsv = folder / f"{core}.rcp", folder / f"{core}.ecsv"
    write_rcp(rcp, table, header=dict(table.meta), overwrite=True)
    write_pixel_table(ecsv, table, overwrite=True)
    return [rcp, ecsv]


def write_fits(source: PixelMap, filename: str | os.PathLike[str]) -> Path:
    """Write all maps with all that is needed to go on with them; see `pixtrace.io.write_checkpoint`."""
    write_checkpoint(filename, to_state(source), overwrite=True)
    return Path(filename)


def read(kind: type[Model], path: str | os.PathLike[str]) -> Model:
    """Return the maps of a file that `write_fits` wrote; see `pixtrace.io.read_checkpoint`."""
    return from_state(kind, read_checkpoint(path, allocate=MapStack))
