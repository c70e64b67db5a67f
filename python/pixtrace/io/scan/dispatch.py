"""Which kind of scan a file holds, and who opens it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.exceptions import DataError, FileReadError, PixtraceError
from pixtrace.io.fitsfile import GZIP_MAGIC
from pixtrace.io.scan.hawc import TABLE_NAME, open_hawc
from pixtrace.io.scan.neutral_ecsv import ECSV_MAGIC, open_neutral_ecsv
from pixtrace.io.scan.neutral_fits import FRAMES, open_neutral_fits
from pixtrace.io.scan.neutral_hdf5 import HDF5_MAGIC, open_neutral_hdf5
from pixtrace.io.scan.rows import RowFile
from pixtrace.io.scan.samples import REQUIRED, open_samples

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from pixtrace.io.scan.raw import ScanStream

__all__ = ["is_raw_scan", "open_scan", "open_scans"]


def open_scan(path: str | os.PathLike[str], *, pointing_shift: float | None = None) -> ScanStream:
    """Open a scan of any kind that is understood.

    Parameters
    ----------
    path : path-like
        A raw HAWC+ file; a scan in the neutral form as FITS, HDF5 or ECSV (`pixtrace.io.scan.neutral`); or a FITS table
        of single samples (`pixtrace.io.scan.samples`). FITS and ECSV may be packed with gzip. What it is, is decided by
        what is in it.
    pointing_shift : float, optional
        A frame at time t is given the boresight recorded at t + `pointing_shift` [s]. None takes what the instrument is
        known to need.

    Returns
    -------
    ScanStream
        The scan.

    Raises
    ------
    MissingExtraError
        It is HDF5, and h5py is not there.
    FileReadError
        The file cannot be read, or holds no scan that is understood.
    DataError, UnsupportedModeError
        Its content cannot be used.
    """
    path = Path(path)
    magic = _first_bytes(path)
    if magic.startswith(HDF5_MAGIC):
        return _with_shift(open_neutral_hdf5(path), pointing_shift)
    if magic.startswith(ECSV_MAGIC):
        return _with_shift(open_neutral_ecsv(path), pointing_shift)
    file = RowFile(path)
    names = {table.name for table in file.tables}
    if TABLE_NAME in names:
        return open_hawc(file, pointing_shift=pointing_shift)
    if FRAMES in names:
        return _with_shift(open_neutral_fits(file), pointing_shift)
    if any({"PIXID", "FNU"} <= table.columns.keys() for table in file.tables):
        return _with_shift(open_samples(file), pointing_shift)
    found = ", ".join(table.label for table in file.tables) or "none"
    msg = (
        f"{path} holds no scan: expected a table {TABLE_NAME} (raw HAWC+), {FRAMES} (the neutral form) or one with the "
        f"columns {', '.join(REQUIRED)} (single samples); tables found: {found}"
    )
    raise FileReadError(msg)


def open_scans(paths: Iterable[str | os.PathLike[str]], *, pointing_shift: float | None = None) -> list[ScanStream]:
    """Open several scans of one camera.

    Parameters
    ----------
    paths : iterable of path-like
        The files.
    pointing_shift : float, optional
        As for `open_scan`.

    Returns
    -------
    list of ScanStream
        The scans, in the order of the files.

    Raises
    ------
    DataError
        They are of different cameras or bands, have no channel in common, or there are none.
    PixtraceError
        As for `open_scan`.
    """
    scans = [open_scan(path, pointing_shift=pointing_shift) for path in paths]
    if not scans:
        msg = "there are no scans; expected at least one file"
        raise DataError(msg)
    first = scans[0]
    for scan in scans[1:]:
        if scan.facts.camera != first.facts.camera:
            msg = (
                f"{scan.name} is a scan of the camera {scan.facts.camera}, {first.name} of {first.facts.camera}; "
                f"expected scans of the same pixels: reduce them apart"
            )
            raise DataError(msg)
        if not np.isin(scan.channels.fixed_index, first.channels.fixed_index).any():
            msg = f"{scan.name} has no channel in common with {first.name}; expected scans of the same pixels"
            raise DataError(msg)
        if scan.facts.sign != first.facts.sign or scan.facts.unit != first.facts.unit:
            msg = (
                f"{scan.name} has signals in {scan.facts.unit} with the sign {scan.facts.sign}, {first.name} in "
                f"{first.facts.unit} with {first.facts.sign}; expected the same: convert one of them"
            )
            raise DataError(msg)
    return scans


def is_raw_scan(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is the raw scan of an instrument, by what is in it.

    Parameters
    ----------
    path : path-like
        Any file, or none.

    Returns
    -------
    bool
        True for raw HAWC+ FITS, also packed with gzip; false for everything else, and for what cannot be read.
    """
    try:
        return any(table.name == TABLE_NAME for table in RowFile(Path(path)).tables)
    except PixtraceError:
        return False


def _first_bytes(path: Path) -> bytes:
    """Return how a file begins, unpacked if it is packed."""
    import gzip
    import zlib

    n = max(len(HDF5_MAGIC), len(ECSV_MAGIC))
    try:
        with path.open("rb") as file:
            magic = file.read(n)
        if not magic.startswith(GZIP_MAGIC):
            return magic
        with gzip.open(path, "rb") as packed:
            return packed.read(n)
    except (OSError, EOFError, zlib.error):
        return b""  # the reader of FITS files says what is wrong


def _with_shift(scan: ScanStream, shift: float | None) -> ScanStream:
    """Return a scan whose boresight is taken at another time."""
    return scan if shift is None else scan.shifted(shift)
