"""What a `PixelMap` asks of whoever writes and reads its files, and a reduction of whoever has room on a disk.

This room opens no files and knows nobody who does: `PixelMapFiles` and `ScratchRoom` say what is needed, `pixtrace.io`
provides it, and `pixtrace._providers` names who that is. It is loaded when the first file is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from pixtrace._providers import provider

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["PixelMapFiles", "Scratch", "ScratchRoom", "pixel_map_files", "scratch_room"]

Model = TypeVar("Model")


class PixelMapFiles(Protocol):
    """Writing and reading of pixel maps; `source` is a `PixelMap`."""

    def write(self, source: Any, path: str | os.PathLike[str]) -> list[Path]:
        """Write the maps that are asked for, and the pixel data, into a folder; return the files."""
        ...

    def write_pixel_data(self, source: Any, path: str | os.PathLike[str]) -> list[Path]:
        """Write ``.rcp`` and ECSV into a folder; return the files."""
        ...

    def write_fits(self, source: Any, filename: str | os.PathLike[str]) -> Path:
        """Write all maps to a file from which one can go on; return it."""
        ...

    def read(self, kind: type[Model], path: str | os.PathLike[str]) -> Model:
        """Return maps of such a file as an object of the class `kind`."""
        ...


def pixel_map_files() -> PixelMapFiles:
    """Return who writes and reads pixel maps."""
    return cast("PixelMapFiles", provider("pixel_map_files"))


class Scratch(Protocol):
    """Room on a disk for what does not fit into memory; it is gone when it is closed, or when the process ends."""

    def write(self, at: int, values: npt.NDArray[Any]) -> None:
        """Keep an array from some byte on."""
        ...

    def read_into(self, at: int, values: npt.NDArray[Any]) -> None:
        """Fill an array with what was kept from that byte on."""
        ...

    def close(self) -> None:
        """Give the room back."""
        ...


class ScratchRoom(Protocol):
    """Who knows how much memory there is, and where there is room beside it."""

    def open_scratch(self, folder: str | os.PathLike[str] | None) -> Scratch:
        """Return room in a folder, or by default where the system keeps temporary files."""
        ...

    def usual_memory(self) -> int:
        """Return the bytes that a reduction may take if nobody says otherwise."""
        ...


def scratch_room() -> ScratchRoom:
    """Return who knows about memory and room on disks."""
    return cast("ScratchRoom", provider("scratch"))
