"""A reduction: scans, options, and the maps that are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixtrace.exceptions import DataError, InternalError
from pixtrace.scan.beam_map import make_beam_map
from pixtrace.scan.configuration import setting
from pixtrace.scan.info import Info
from pixtrace.scan.pixel_map import PixelMap
from pixtrace.scan.rounds import run_rounds

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pixtrace.scan.beam_map import BeamMap
    from pixtrace.scan.rounds import LoopState, Progress
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

    def reduce(
        self,
        *,
        state: LoopState | None = None,
        progress: Progress | None = None,
        keep: Callable[[LoopState], None] | None = None,
        n_threads: int | None = None,
        scratch: str | os.PathLike[str] | None = None,
    ) -> BeamMap:
        """Clean, map and fit in rounds until positions and gains of all pixels have settled, and return them.

        The signals of the scans stay as they are. Positions and couplings that were measured go to the channels of the
        first scan. Options ``rounds...`` say when it ends, ``source.diameter`` how large the disc of a planet is.

        What does not fit into the memory that the option ``memory`` allows is gone through in windows of frames:
        signals are read anew in each round, and cleaned ones wait in a file until all samples of a pixel can be fitted.

        Parameters
        ----------
        state : LoopState, optional
            Where an earlier reduction of the same scans stopped.
        progress : callable, optional
            Is told of each step: name of the stage, steps done, all of them.
        keep : callable, optional
            Is given the state after each round, to be kept.
        n_threads : int, optional
            Threads; by default as the option ``jobs`` says.
        scratch : path-like, optional
            Folder for that file; by default where the system keeps temporary files. The file has no name, and is gone
            when the reduction ends, however it ends.

        Returns
        -------
        BeamMap
            Positions, gains, errors and flags of all pixels. If there is no source, none has a position, and `problem`
            says so.

        Raises
        ------
        DataError
            If there is no scan, or no channel that could be used.
        ConfigError
            If ``memory`` is not enough even for short windows.
        OutputError
            If there is no room in `scratch`.
        """
        done, parts = run_rounds(self, state=state, progress=progress, keep=keep, n_threads=n_threads, scratch=scratch)
        if self.source is None:
            msg = "the loop left no maps"
            raise InternalError(msg)
        return make_beam_map(self.source, parts, done)

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
