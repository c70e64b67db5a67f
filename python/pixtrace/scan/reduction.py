"""A reduction: scans, options, and the maps that are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixtrace.exceptions import DataError
from pixtrace.scan.configuration import setting
from pixtrace.scan.info import Info
from pixtrace.scan.pixel_map import PixelMap

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from pixtrace.scan.scan import Scan

__all__ = ["Reduction"]


class Reduction:
    """Scans of one source with one camera, on their way to pixel maps.

    Parameters
    ----------
    info : Info, optional
        The instrument and its options; by default those of the first scan that is added.
    scans : sequence of Scan, optional
        The scans.

    Attributes
    ----------
    info : Info
    scans : list of Scan
    source : PixelMap or None
        The maps; None until `init_source_model`.
    """

    def __init__(self, info: Info | None = None, scans: Sequence[Scan] = ()) -> None:
        self.scans: list[Scan] = list(scans)
        self._is_given = info is not None
        self.info = info or (self.scans[0].info if self.scans else Info())
        self.source: PixelMap | None = None

    def __repr__(self) -> str:
        return f"<Reduction of {len(self.scans)} scans>"

    @property
    def configuration(self) -> Any:
        """The options."""
        return self.info.configuration

    @property
    def size(self) -> int:
        """Number of scans."""
        return len(self.scans)

    def add_scan(self, scan: Scan) -> None:
        """Add a scan; maps that were made before do not know it."""
        if not self.scans and not self._is_given:
            self.info = scan.info
        self.scans.append(scan)

    def init_source_model(self) -> PixelMap:
        """Set up empty maps for the scans, and return them.

        Raises
        ------
        DataError
            If there is no scan.
        """
        if not self.scans:
            msg = "the reduction has no scans; add some first"
            raise DataError(msg)
        source = PixelMap(self.info, self)
        source.create_from(self.scans)
        source.reset_processing()
        self.source = source
        return source

    def make_maps(self) -> PixelMap:
        """Add all frames of all scans to the maps, normalise them, and return them.

        Maps that hold samples already are emptied before.
        """
        source = self.init_source_model() if self.source is None else self.source
        source.clear_content()
        source.clear_process_brief()
        source.add_scans()
        source.process()
        return source

    def sync(self) -> None:
        """Subtract the source from the signals, unless the option ``source.nosync`` says not to.

        Raises
        ------
        DataError
            If there are no maps yet.
        """
        if self.source is None:
            msg = "there are no maps yet whose source could be subtracted; call `make_maps` first"
            raise DataError(msg)
        if not setting(self.configuration, "source.nosync"):
            self.source.sync()

    def write_products(self, path: str | os.PathLike[str] | None = None) -> list[Path]:
        """Write what `PixelMap.write` writes, by default to the folder of the option ``outpath``.

        Raises
        ------
        DataError
            If there are no maps yet.
        """
        if self.source is None:
            msg = "there are no maps yet to be written; call `make_maps` first"
            raise DataError(msg)
        return self.source.write(setting(self.configuration, "outpath") if path is None else path)
