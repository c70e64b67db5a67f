"""Scans in the neutral form as HDF5 files (extra ``hdf5``).

Attributes of the root are the keywords. ``data`` (n_frames, n_channels) holds the signals; the groups ``frames`` and
``channels`` hold a dataset per column of `pixtrace.io.scan.neutral`, each with an attribute ``unit``. An unsigned,
compressed or chunked dataset is as good as any.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError, FileReadError, MissingExtraError
from pixtrace.io.atomic import atomic_path
from pixtrace.io.scan.neutral import (
    CHANNEL_COLUMNS,
    FRAME_COLUMNS,
    Column,
    channel_columns_of,
    channels_from,
    facts_from,
    frame_columns_of,
    frames_from,
    keywords_of,
)
from pixtrace.io.scan.raw import DataChunk, ScanStream

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import numpy.typing as npt

__all__ = ["HDF5_MAGIC", "open_neutral_hdf5", "write_neutral_hdf5"]

#: The first bytes of an HDF5 file.
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_DATA, _FRAMES, _CHANNELS = "data", "frames", "channels"


def open_neutral_hdf5(path: str | os.PathLike[str]) -> ScanStream:
    """Open a scan in the neutral HDF5 form.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    ScanStream
        The scan; its data are read in slices.

    Raises
    ------
    MissingExtraError
        h5py is not there.
    FileReadError
        The file cannot be read, or lacks a group or a column.
    DataError
        Its content cannot be used: impossible units, times or dimensions, no valid frame.
    """
    h5py = _h5py()
    path = Path(path)
    with _opened(h5py, path) as file:
        names = ", ".join(file) or "nothing at all"
        for name, kind in ((_DATA, h5py.Dataset), (_FRAMES, h5py.Group)):
            if not isinstance(file.get(name), kind):
                what = "dataset" if name == _DATA else "group"
                msg = f"{path} has no {what} {name!r}; a scan needs {_DATA!r} and {_FRAMES!r} (found: {names})"
                raise FileReadError(msg)
        shape, dtype = file[_DATA].shape, file[_DATA].dtype
        if len(shape) != 2 or dtype.kind not in "fiu":  # noqa: PLR2004 - frames and channels
            msg = f"{path}, data: shape {shape} and type {dtype}; expected real numbers (n_frames, n_channels)"
            raise DataError(msg)
        frames = frames_from(_columns(file[_FRAMES], tuple(FRAME_COLUMNS)), f"{path}, {_FRAMES}")
        if frames.n_frames != shape[0]:
            msg = (
                f"{path}: data have the shape {shape}, but there are {frames.n_frames} frames; expected (n_frames, "
                f"n_channels): {'turn data round' if frames.n_frames == shape[1] else 'make them agree'}"
            )
            raise DataError(msg)
        group = file.get(_CHANNELS)
        columns = _columns(group, tuple(CHANNEL_COLUMNS)) if group is not None else None
        channels = channels_from(columns, f"{path}, {_CHANNELS}", int(shape[1]))
        keywords = {key.upper(): _plain(value) for key, value in file.attrs.items()}
        if "unit" in file[_DATA].attrs:
            keywords["BUNIT"] = _plain(file[_DATA].attrs["unit"])
        facts = facts_from(keywords, str(path), path.stem, frames)
        first = np.asarray(file[_DATA][0], dtype=np.float64)
    level = np.where(np.isfinite(first), first, 0.0)

    def chunks(most: int) -> Iterator[DataChunk]:
        with _opened(h5py, path) as source:
            data = source[_DATA]
            for start in range(0, shape[0], most):
                try:
                    values = data[start : start + most]
                except OSError as error:
                    msg = f"{path}, data cannot be read from frame {start} on: {error}; get a complete copy"
                    raise FileReadError(msg) from error
                signals = np.empty(values.shape, dtype=np.float32)
                np.subtract(values, level, out=signals, casting="unsafe")
                yield DataChunk(start, signals)

    return ScanStream(facts, channels, frames, chunks, name=str(path))


def write_neutral_hdf5(path: str | os.PathLike[str], scan: ScanStream, *, overwrite: bool = False) -> None:
    """Write a scan in the neutral HDF5 form, piece by piece.

    Parameters
    ----------
    path : path-like
        The file.
    scan : ScanStream
        The scan; its jumps are not written.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Raises
    ------
    MissingExtraError
        h5py is not there.
    OutputExistsError, OutputError
        It cannot be written.
    """
    h5py = _h5py()
    with atomic_path(path, overwrite=overwrite) as partial, h5py.File(partial, "w") as file:
        for key, (value, _) in keywords_of(scan.facts).items():
            file.attrs[key] = value
        data = file.create_dataset(_DATA, (scan.n_frames, scan.n_channels), dtype="f4")
        data.attrs["unit"] = scan.facts.unit
        for chunk in scan.chunks():
            data[chunk.start : chunk.start + len(chunk.data)] = chunk.data
        for name, columns in ((_FRAMES, frame_columns_of(scan)), (_CHANNELS, channel_columns_of(scan))):
            group = file.create_group(name)
            for key, column in columns.items():
                values = column.values
                dataset = group.create_dataset(key, data=values.astype("S9") if values.dtype.kind == "U" else values)
                if column.unit:
                    dataset.attrs["unit"] = column.unit


def _h5py() -> Any:  # noqa: ANN401 - h5py has no types
    """Return the package h5py."""
    try:
        import h5py
    except ImportError as error:
        msg = "HDF5 files need h5py; install it with `pip install pixtrace[hdf5]`"
        raise MissingExtraError(msg) from error
    return h5py


def _opened(h5py: Any, path: Path) -> Any:  # noqa: ANN401
    """Return the open file."""
    try:
        return h5py.File(path, "r")
    except FileNotFoundError as error:
        msg = f"{path} does not exist; check the name"
        raise FileReadError(msg) from error
    except OSError as error:
        msg = f"{path} is not an HDF5 file, or a damaged one ({error}); get a complete copy"
        raise FileReadError(msg) from error


def _columns(group: Any, names: tuple[str, ...]) -> dict[str, Column]:  # noqa: ANN401
    """Return those datasets of a group that are columns of the format."""
    by_name = {str(key).upper(): group[key] for key in group}
    columns: dict[str, Column] = {}
    for name in names:
        if name in by_name and hasattr(by_name[name], "dtype"):
            values: npt.NDArray[Any] = np.asarray(by_name[name][()])
            columns[name] = Column(np.atleast_1d(values), str(_plain(by_name[name].attrs.get("unit", ""))))
    return columns


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return an attribute as a Python object."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value
