"""What a `PixelMap` asks of whoever writes and reads its files.

This room opens no files and knows nobody who does: `PixelMapFiles` says what is needed, `pixtrace.io` provides it, and
`pixtrace._providers` names who that is. It is loaded when the first file is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from pixtrace._providers import provider

if TYPE_CHECKING:
    import os
    from pathlib import Path

__all__ = ["PixelMapFiles", "pixel_map_files"]

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
