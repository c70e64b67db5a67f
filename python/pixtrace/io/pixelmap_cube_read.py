"""Reading the checkpoint that `pixtrace.io.pixelmap_cube` describes and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pixtrace.exceptions import FileReadError, PixtraceError
from pixtrace.io.fits_stream import DataSum, blocks_of, bytes_of
from pixtrace.io.fitsfile import extension_label, find_extension, open_fits
from pixtrace.io.pixelmap_cube import ARRAY, KIND, PLANES, VERSION
from pixtrace.scan.sample_moments import SampleMoments
from pixtrace.scan.state import MAP_RECORDS, PixelMapState
from pixtrace.scan.tables import PIXEL_COLUMNS, ExtraColumn, PixelTable

if TYPE_CHECKING:
    import os

    import numpy.typing as npt

    from pixtrace.scan.state import MapPlanes

__all__ = ["MakePlanes", "is_checkpoint", "read_checkpoint"]

_MAPS_NDIM = 3


class MakePlanes(Protocol):
    """What makes room for maps; `MapStack` does."""

    def __call__(
        self,
        n_pixels: int,
        shape: tuple[int, int],
        *,
        resolution: tuple[float, float],
        reference_index: tuple[float, float],
        pixel_ids: npt.NDArray[np.int64],
    ) -> MapPlanes:
        """Return writable arrays for that many maps of that shape."""
        ...


def is_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file calls itself a checkpoint of pixel maps.

    Parameters
    ----------
    path : path-like
        Any file.

    Returns
    -------
    bool
        False also if it does not exist or cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(2880)
    except OSError:
        return False
    return start.startswith(b"SIMPLE") and f"PIXKIND = '{KIND}'".encode() in start


def read_checkpoint(path: str | os.PathLike[str], *, allocate: MakePlanes | None = None) -> PixelMapState:
    """Read everything that a reduction needs in order to go on.

    Parameters
    ----------
    path : path-like
        A file written by `write_checkpoint`, by this or an earlier version of pixtrace.
    allocate : callable, optional
        Makes the arrays that the maps are read into, called as the constructor of `MapStack` is; what it returns is
        the state's `planes`. Without it they are new arrays.

    Returns
    -------
    PixelMapState
        The state, its arrays equal to the bit to those that were written.

    Raises
    ------
    FileReadError
        The file does not exist, is not FITS or no checkpoint, is of a version that this pixtrace does not know, ends
        too early, or is damaged; the message names the extension.
    """
    path = Path(path)
    with open_fits(path) as hdus:
        _check_kind(hdus, path)
        reader = _Reader(hdus, path)
        document = reader.document()
        try:
            return _state(reader, document, allocate)
        except FileReadError:
            raise
        except (PixtraceError, KeyError, TypeError, ValueError) as error:
            msg = f"{path} is damaged: {type(error).__name__}: {error}; go back to an older checkpoint"
            raise FileReadError(msg) from error


class _Reader:
    """The extensions of a file, read with their sums checked.

    Parameters
    ----------
    hdus : HDUList
        The file.
    path : Path
        Its name, for messages.
    """

    def __init__(self, hdus: Any, path: Path) -> None:  # noqa: ANN401 - astropy has no types
        self.hdus = hdus
        self.path = path

    def has(self, name: str) -> bool:
        """Whether there is such an extension."""
        return find_extension(self.hdus, name, 1) is not None

    def unit(self, name: str, version: int = 1) -> Any:  # noqa: ANN401
        """Return an extension."""
        index = find_extension(self.hdus, name, version)
        if index is None:
            label = extension_label(name, version)
            msg = f"{self.path} has no extension {label}; go back to an older checkpoint"
            raise FileReadError(msg)
        return self.hdus[index]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an image."""
        return tuple(int(length) for length in self.unit(name).shape)

    def image_into(self, target: npt.NDArray[Any], name: str, version: int = 1) -> None:
        """Read an image into an array of its shape and type, some megabytes at a time."""
        unit = self.unit(name, version)
        where = f"extension {extension_label(name, version)} of {self.path}"
        found: Any = unit.data
        if not isinstance(found, np.ndarray) or found.shape != target.shape:
            shape = None if found is None else getattr(found, "shape", None)
            msg = f"{where} has shape {shape}; expected {target.shape}"
            raise FileReadError(msg)
        if found.dtype.newbyteorder("=") != target.dtype:
            msg = f"{where} holds {found.dtype.newbyteorder('=')}; expected {target.dtype}"
            raise FileReadError(msg)
        datasum = DataSum()
        for block, room in zip(blocks_of(found), blocks_of(target), strict=True):
            datasum.add(bytes_of(block))
            room[...] = block
        self._check_sum(unit, datasum, where)

    def table(self, name: str) -> Any:  # noqa: ANN401
        """Return a table."""
        unit = self.unit(name)
        where = f"extension {name} of {self.path}"
        if unit.data is None or getattr(unit.data.dtype, "names", None) is None:
            msg = f"{where} is not a table; go back to an older checkpoint"
            raise FileReadError(msg)
        datasum = DataSum()
        datasum.add(unit.data.tobytes())
        self._check_sum(unit, datasum, where)
        return unit.data

    def document(self) -> dict[str, Any]:
        """Return what is not an array."""
        text = np.empty(self.shape("STATE"), np.uint8)
        if text.ndim != 1:
            msg = f"extension STATE of {self.path} has shape {text.shape}; expected text"
            raise FileReadError(msg)
        self.image_into(text, "STATE")
        try:
            found: dict[str, Any] = json.loads(text.tobytes())
        except ValueError as error:
            msg = f"extension STATE of {self.path} is damaged: {error}; go back to an older checkpoint"
            raise FileReadError(msg) from error
        return found

    def _check_sum(self, unit: Any, datasum: DataSum, where: str) -> None:  # noqa: ANN401
        """Raise `FileReadError` if the numbers are not those that were written."""
        if str(unit.header.get("DATASUM", "")).strip().lstrip("0") != str(datasum.value).lstrip("0"):
            msg = f"{where} is damaged: its DATASUM does not agree with its content; go back to an older checkpoint"
            raise FileReadError(msg)


def _check_kind(hdus: Any, path: Path) -> None:  # noqa: ANN401
    """Raise `FileReadError` unless the file is a complete checkpoint of a version that is known."""
    header = hdus[0].header
    kind, version = header.get("PIXKIND"), header.get("PIXFORM")
    if kind != KIND:
        found = "no PIXKIND" if kind is None else f"PIXKIND = {kind!r}"
        msg = f"{path} is not a checkpoint of pixel maps ({found}); name a file that PixelMap.write made"
        raise FileReadError(msg)
    if version != VERSION:
        by = header.get("PIXVERS", "another version")
        msg = (
            f"{path} is a checkpoint of version {version}, written by pixtrace {by}; this pixtrace reads version "
            f"{VERSION}: use the pixtrace that wrote it"
        )
        raise FileReadError(msg)
    expected, found_extensions = header.get("NEXTEND"), len(hdus) - 1
    if expected != found_extensions:
        msg = f"{path} has {found_extensions} of {expected} extensions: it ends too early; get a complete copy"
        raise FileReadError(msg)


def _moments(reader: _Reader) -> SampleMoments | None:
    """Return where in their cells samples stand; None if nothing is known."""
    if not reader.has("MOMENTS"):
        return None
    found: dict[str, npt.NDArray[np.float64]] = {}
    for name in ("MOMENTS", "FACTORS", "MISSED"):
        found[name] = np.empty(reader.shape(name) if name != "MISSED" or reader.has(name) else (0, 8))
        if found[name].size:
            reader.image_into(found[name], name)
    missed = found["MISSED"]
    return SampleMoments(
        sums=found["MOMENTS"],
        factors=found["FACTORS"],
        missed_at=missed[:, :2].astype(np.int64),
        missed=np.ascontiguousarray(missed[:, 2:]),
    )


def _state(reader: _Reader, document: dict[str, Any], allocate: MakePlanes | None) -> PixelMapState:
    """Return the state that a file holds."""
    shape = reader.shape("DATA")
    if len(shape) != _MAPS_NDIM:
        msg = f"extension DATA of {reader.path} has shape {shape}; expected (n_pixels, n_y, n_x)"
        raise FileReadError(msg)
    maps = reader.table("MAPS")
    pixel_ids = np.array(maps["PIXEL_ID"], dtype=np.int64)
    resolution, reference_index = tuple(document["resolution"]), tuple(document["reference_index"])
    planes: MapPlanes | None = None
    arrays: dict[str, npt.NDArray[Any]] = {}
    if allocate is not None:
        planes = allocate(
            shape[0],
            (shape[1], shape[2]),
            resolution=(resolution[0], resolution[1]),
            reference_index=(reference_index[0], reference_index[1]),
            pixel_ids=pixel_ids,
        )
    for name, plane, dtype in PLANES:
        arrays[plane] = np.empty(shape, dtype) if planes is None else getattr(planes, plane)
        reader.image_into(arrays[plane], name)
    base = None
    if reader.has("BASE"):
        base = np.empty(shape) if planes is None else planes.base
        reader.image_into(base, "BASE")
    further = {}
    for version, entry in enumerate(document["arrays"], start=1):
        found = reader.unit(ARRAY, version).data
        array = np.empty(found.shape, found.dtype.newbyteorder("="))
        reader.image_into(array, ARRAY, version)
        further[str(entry["name"])] = array.reshape(entry["shape"])
    return PixelMapState(
        pixel_ids=pixel_ids,
        resolution=(resolution[0], resolution[1]),
        reference_index=(reference_index[0], reference_index[1]),
        data=arrays["data"],
        weight=arrays["weight"],
        exposure=arrays["exposure"],
        flag=arrays["flag"],
        base=base,
        moments=_moments(reader),
        content=tuple(str(word).strip() for word in maps["CONTENT"]),
        **{
            name: np.array(maps[name.upper()], dtype=np.float64)
            for name in MAP_RECORDS
            if name.upper() in maps.dtype.names
        },
        n_skipped=int(document["n_skipped"]),
        unit=str(document["unit"]),
        generation=int(document["generation"]),
        integration_time=float(document["integration_time"]),
        configuration=document["configuration"],
        history=tuple(document["history"]),
        table=_table(reader, document["table"]),
        extra=document["extra"],
        arrays=further,
        planes=planes,
    )


def _table(reader: _Reader, about: dict[str, Any] | None) -> PixelTable | None:
    """Return the table of the pixels, if there is one."""
    if about is None:
        return None
    rows = reader.table("PIXELS")
    columns: dict[str, Any] = {
        column.name: np.array(rows[column.name], dtype=np.int64 if column.is_whole else np.float64)
        for column in PIXEL_COLUMNS
        if column.name in rows.dtype.names
    }
    extra = {}
    for name, (unit, description) in about["extra"].items():
        values = np.asarray(rows[name])
        values = np.array(values, dtype=values.dtype.newbyteorder("="))
        extra[name] = ExtraColumn(values=values, unit=unit, description=description)
    return PixelTable(
        **columns,
        unit=str(about["unit"]),
        flag_meanings={int(bit): str(text) for bit, text in about["flag_meanings"].items()},
        meta=about["meta"],
        extra=extra,
    )
