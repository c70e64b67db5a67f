"""Beam maps from files to files: scans in, positions and gains of pixels out.

`BeamMapJob` holds the scans of one beam map; `plan` says what will be done and what memory it takes, `run` does it. All
files go to one folder, their names begin with object and scan: ``.rcp``, ``.ecsv`` with everything that is known of
each pixel, ``.maps.fits`` with all maps (`pixtrace.scan.PixelMap.read` takes them back), and ``.checkpoint.json``,
which is written after each round and from which an interrupted job goes on.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import OutputError
from pixtrace.io.atomic import check_output
from pixtrace.io.beammap_state import fingerprint, read_state, write_state
from pixtrace.io.pixel_map_files import as_file_name
from pixtrace.io.pixel_table import write_pixel_table
from pixtrace.io.rcp import write_rcp
from pixtrace.io.scan.dispatch import open_scans
from pixtrace.scan.configuration import Configuration
from pixtrace.scan.disc import fitted_width
from pixtrace.scan.model_geometry import CELLS_IN_BEAM
from pixtrace.scan.pieces import ROOM, cut_frames, frames_memory, maps_memory, memory_limit
from pixtrace.scan.reduction import Reduction

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from pixtrace.io.scan.raw import ScanStream
    from pixtrace.scan.beam_map import BeamMap
    from pixtrace.scan.pieces import Cut
    from pixtrace.scan.rounds import LoopState, Progress
    from pixtrace.scan.scan import Scan

__all__ = ["BeamMapJob", "BeamMapPlan"]

_log = logging.getLogger(__name__)
_KEPT = (
    1 << 28
)  # bytes of signals that stay in memory; more are read anew in each round, which takes less than cleaning
_BYTES = 4  # of a sample
_PRODUCTS = ("rcp", "ecsv", "maps.fits")


@dataclass(frozen=True)
class BeamMapPlan:
    """What a job will do.

    Attributes
    ----------
    scans : tuple of str
        A line for each scan.
    n_maps : int
        Maps, at most: channels that are found dead have none.
    shape : tuple of int
        Cells of a map, (n_y, n_x).
    cell : float
        Side of a cell [arcsec]; NaN if neither it nor the beam is known.
    rounds : int
        Most rounds.
    windows : int
        Windows in which the signals are cleaned; the fewest that fit into the option ``memory``.
    memory : int
        Bytes that it will take, at most.
    scratch : int
        Bytes that cleaned signals will take on the disk of the output folder, while it runs.
    files : tuple of Path
        What will be written.
    """

    scans: tuple[str, ...]
    n_maps: int
    shape: tuple[int, int]
    cell: float
    rounds: int
    windows: int
    memory: int
    scratch: int
    files: tuple[Path, ...]


class BeamMapJob:
    """The scans of one beam map.

    Parameters
    ----------
    paths : sequence of path-like
        Files with scans of one camera, see `pixtrace.io.scan.open_scan`.
    options : Configuration or mapping, optional
        Options of the reduction.
    output : path-like, optional
        Folder of the products.

    Raises
    ------
    PixtraceError
        A file cannot be used, or they are of different cameras.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        options: Configuration | dict[str, Any] | None = None,
        output: str | os.PathLike[str] = ".",
    ) -> None:
        self.options = options.copy() if isinstance(options, Configuration) else Configuration(options)
        self.output = Path(output)
        self.streams: list[ScanStream] = open_scans(paths)
        facts = [stream.facts for stream in self.streams]
        last = f"-{facts[-1].scan_id}" if len(facts) > 1 else ""
        name = self.options["name"] or f"{facts[0].object_name or 'source'}.{facts[0].scan_id}{last}"
        self.name = as_file_name(str(name)) or "beammap"
        self.options["name"] = self.name
        self._fingerprint = fingerprint(self.streams, self.options)

    def path(self, suffix: str) -> Path:
        """Return the path of a product.

        Parameters
        ----------
        suffix : str
            What comes after the name, without the dot before it.

        Returns
        -------
        Path
            In the output folder.
        """
        return self.output / f"{self.name}.{suffix}"

    def plan(self) -> BeamMapPlan:
        """Return what will be done, without reading any signal.

        Returns
        -------
        BeamMapPlan
            The plan.

        Raises
        ------
        ConfigError
            The memory that is allowed is not enough.
        """
        lines: list[str] = []
        low, high = np.full(2, np.inf), np.full(2, -np.inf)
        for stream in self.streams:
            frames, channels = stream.frames, stream.channels
            angle = np.radians(frames.angle[frames.valid])
            x, y = frames.offset[:, frames.valid]
            plane = np.stack([x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)])
            low, high = np.minimum(low, plane.min(axis=1)), np.maximum(high, plane.max(axis=1))
            seconds = stream.n_frames * stream.facts.sampling_interval
            usable = int((channels.reason == "").sum())
            lines.append(
                f"{stream.name}: {stream.facts.object_name} with {stream.facts.camera}, {stream.n_frames} frames in "
                f"{seconds:.1f} s, {usable} of {stream.n_channels} channels"
            )
        grid, extent = self.options["grid"], self.options["map.size"]
        cell = float(grid[0]) if grid is not None else self.streams[0].facts.resolution / CELLS_IN_BEAM
        size = np.asarray(extent) if extent is not None else high - low
        shape = (0, 0) if math.isnan(cell) else (int(size[1] / cell) + 2, int(size[0] / cell) + 2)
        numbers = [stream.channels.fixed_index[stream.channels.reason == ""] for stream in self.streams]
        n_maps = int(np.unique(np.concatenate(numbers)).size)
        cuts = self._cuts(shape, n_maps)
        return BeamMapPlan(
            scans=tuple(lines),
            n_maps=n_maps,
            shape=shape,
            cell=cell,
            rounds=int(self.options["rounds"] or 1),
            windows=sum(len(cut.windows) for cut in cuts),
            memory=self._fixed_memory(shape, n_maps) + max(cut.memory for cut in cuts),
            scratch=max(cut.scratch for cut in cuts),
            files=tuple(self.path(suffix) for suffix in _PRODUCTS),
        )

    @property
    def _keeps_signals(self) -> bool:
        """Whether signals as they were read stay in memory."""
        return sum(stream.n_frames * stream.n_channels * _BYTES for stream in self.streams) <= _KEPT

    def _fixed_memory(self, shape: tuple[int, int], n_maps: int) -> int:
        """Return the bytes that are taken whatever is being cleaned."""
        samples = sum(stream.n_frames * stream.n_channels for stream in self.streams)
        frames = sum(frames_memory(scan[0]) for scan in self._scans(in_memory=False))
        signals = samples * _BYTES if self._keeps_signals else 0
        return ROOM + frames + signals + maps_memory(n_maps, shape[0] * shape[1], len(self.streams))

    def _cuts(self, shape: tuple[int, int], n_maps: int) -> list[Cut]:
        """Return how the frames of each scan are cut."""
        available = memory_limit(self.options) - self._fixed_memory(shape, n_maps)
        cuts: list[Cut] = []
        for stream, scan in zip(self.streams, self._scans(in_memory=False), strict=True):
            usable = int((stream.channels.reason == "").sum())
            width = fitted_width(stream.facts.resolution, float(self.options["source.diameter"] or 0.0))
            cuts.append(cut_frames(scan[0], usable, width, available))
        return cuts

    def _scans(self, *, in_memory: bool) -> list[Scan]:
        """Return the scans as a reduction takes them."""
        return [stream.to_scan(self.options.changed(), in_memory=in_memory) for stream in self.streams]

    def prepare(self, *, overwrite: bool = False, resume: bool = False) -> None:
        """Make the output folder, and see that products can be written there, before any work is spent.

        Parameters
        ----------
        overwrite : bool, optional
            Replace products that are there already.
        resume : bool, optional
            Likewise: they are of the job that goes on.

        Raises
        ------
        OutputExistsError
            A product is there already, and neither `overwrite` nor `resume` is true.
        OutputError
            The folder cannot be made or written to.
        """
        try:
            self.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"cannot make the output folder {self.output}: {error.strerror or error}; choose another with -o"
            raise OutputError(msg) from error
        for suffix in _PRODUCTS:
            check_output(self.path(suffix), overwrite=overwrite or resume)

    def run(self, *, resume: bool = False, progress: Progress | None = None, n_threads: int | None = None) -> BeamMap:
        """Read the scans and reduce them; after each round a checkpoint is written.

        Parameters
        ----------
        resume : bool, optional
            Go on from the checkpoint, if there is one of the same scans and options; else from the beginning.
        progress : callable, optional
            Is told of each step: name of the stage, steps done, all of them.
        n_threads : int, optional
            Threads; by default one for each core.

        Returns
        -------
        BeamMap
            The result; `write` writes it.

        Raises
        ------
        PixtraceError
            Nothing can be made of the scans, or the checkpoint cannot be written or is not of this job.
        """
        checkpoint = self.path("checkpoint.json")
        state = None
        if resume and checkpoint.exists():
            state = read_state(checkpoint, self._fingerprint)
            _log.info("%s: going on after round %d", checkpoint, len(state.records))
        elif resume:
            _log.warning("%s is not there; the reduction begins with the first round", checkpoint)
        scans: list[Scan] = []
        for k, stream in enumerate(self.streams):
            if progress is not None:
                progress("reading", k, len(self.streams))
            scans.append(stream.to_scan(self.options.changed(), in_memory=self._keeps_signals))
        if progress is not None:
            progress("reading", len(self.streams), len(self.streams))

        def keep(found: LoopState) -> None:
            write_state(checkpoint, found, self._fingerprint)

        return Reduction(scans=scans).reduce(
            state=state, progress=progress, keep=keep, n_threads=n_threads, scratch=self._scratch()
        )

    def _scratch(self) -> Path | None:
        """Return the output folder, where there is room for large files; None: that of temporary files."""
        return self.output if self.output.is_dir() else None

    def write(self, found: BeamMap, *, maps: bool = True) -> list[Path]:
        """Write the products, each in one step; files that are there already are replaced.

        Parameters
        ----------
        found : BeamMap
            The result.
        maps : bool, optional
            Write all maps too, which takes 25 bytes for each cell of each pixel.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        OutputError
            A file cannot be written.
        """
        rcp, ecsv, cube = (self.path(suffix) for suffix in _PRODUCTS)
        header = {name: value for name, value in found.table.meta.items() if not isinstance(value, dict)}
        write_rcp(rcp, found.table, header=header, overwrite=True)
        write_pixel_table(ecsv, found.table, overwrite=True)
        files = [rcp, ecsv]
        if maps:
            found.maps.write_fits(cube)
            files.append(cube)
        return files

    def forget(self) -> None:
        """Remove the checkpoint of an earlier job."""
        self.path("checkpoint.json").unlink(missing_ok=True)
