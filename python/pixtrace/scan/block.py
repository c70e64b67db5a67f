"""The maps of all pixels with what is noted down of each, and how they are found by the number of a pixel."""

from __future__ import annotations

import copy as copying
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._arrays import as_count
from pixtrace.exceptions import DataError, ParameterError
from pixtrace.scan.stack import MapStack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pixtrace.scan.intensity_map import IntensityMap
    from pixtrace.scan.projection import MapGrid

__all__ = ["MapBlock", "MapNotes", "PixelMaps"]

#: Numbers of pixels go from minus this to this.
_MOST = 2**62


@dataclass
class MapNotes:
    """What is noted down of one map, beside its cells and what the stack knows.

    Attributes
    ----------
    generation : int
        Times that it was processed.
    integration_time : float
        Time that the frames in it took [s].
    smoothing : float
        FWHM of the beam to smooth to [arcsec]; 0: none.
    process_brief, history : list of str
        What was done: in the last round in a few words, and altogether.
    steps : dict of str to str
        Steps of processing that would change the cells each time, with the settings that they were made with since the
        last samples came in.
    """

    generation: int = 0
    integration_time: float = 0.0
    smoothing: float = 0.0
    process_brief: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    steps: dict[str, str] = field(default_factory=dict)

    def copy(self) -> MapNotes:
        """Return notes of their own."""
        other = copying.copy(self)
        other.process_brief, other.history = list(self.process_brief), list(self.history)
        other.steps = dict(self.steps)
        return other


class MapBlock:
    """A stack of maps on one grid, with notes, and options to process them by.

    Parameters
    ----------
    grid : MapGrid
        The grid of all maps.
    pixel_ids : iterable of int, optional
        Fixed indices of the pixels.
    info : Info, optional
        The instrument and its options, of this package or of the reference.
    stack : MapStack, optional
        Maps that are there already, on that grid.

    Attributes
    ----------
    stack : MapStack
    notes : dict of int to MapNotes
    enable_level, enable_weighting, enable_bias : bool
        Whether maps are levelled, weighed and clipped when they are processed.
    n_threads : int or None
        Threads to work with; None: those of the caller's pool.
    """

    def __init__(
        self, grid: MapGrid, pixel_ids: Iterable[int] = (), *, info: Any = None, stack: MapStack | None = None
    ) -> None:
        numbers = [int(number) for number in pixel_ids]
        self.grid = grid
        self.info = info
        self.stack = stack if stack is not None else self._new_stack(numbers)
        self._rows = {int(number): row for row, number in enumerate(self.stack.pixel_ids)}
        self.notes = {number: MapNotes() for number in self._rows}
        self.enable_level = self.enable_weighting = self.enable_bias = True
        self.n_threads: int | None = None

    def _new_stack(self, numbers: list[int]) -> MapStack:
        grid = self.grid
        return MapStack(
            len(numbers),
            grid.shape,
            resolution=grid.resolution,
            reference_index=grid.reference_index,
            pixel_ids=numbers,
        )

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def configuration(self) -> Any:
        """The options; None without info."""
        return None if self.info is None else self.info.configuration

    @property
    def fixed_indices(self) -> list[int]:
        """Numbers of the pixels, in the order of the maps."""
        return list(self._rows)

    def row(self, fixed_index: int) -> int:
        """Return the place of a pixel's map in the stack.

        Raises
        ------
        KeyError
            If the pixel has no map.
        """
        return self._rows[int(fixed_index)]

    def rows(self, fixed_indices: Iterable[int]) -> list[int]:
        """Return the places of pixels' maps in the stack."""
        return [self._rows[int(number)] for number in fixed_indices]

    def add(self, fixed_indices: Iterable[int]) -> list[int]:
        """See to it that pixels have maps, and return their places; new maps are empty."""
        wanted = [int(number) for number in fixed_indices]
        missing = [number for number in dict.fromkeys(wanted) if number not in self._rows]
        if missing:
            if self._rows:
                self.stack.extend(missing)
            else:
                self.stack = self._new_stack(missing)
            for number in missing:
                self._rows[number] = len(self._rows)
                self.notes[number] = MapNotes()
        return self.rows(wanted)

    def keep(self, fixed_indices: Iterable[int]) -> None:
        """Drop all maps but these."""
        numbers = [int(number) for number in fixed_indices]
        rows = self.rows(numbers)
        self.stack = self.stack.select(rows) if rows else self._new_stack([])
        self._rows = {number: row for row, number in enumerate(numbers)}
        self.notes = {number: self.notes[number] for number in numbers}

    def select(self, fixed_indices: Iterable[int]) -> MapBlock:
        """Return copies of some maps in a block of their own."""
        numbers = [int(number) for number in fixed_indices]
        rows = self.rows(numbers)
        other = MapBlock(self.grid, numbers, info=self.info, stack=self.stack.select(rows) if rows else None)
        other.notes = {number: self.notes[number].copy() for number in numbers}
        for name in ("enable_level", "enable_weighting", "enable_bias", "n_threads"):
            setattr(other, name, getattr(self, name))
        return other

    def end_accumulation(self, rows: list[int] | None = None, *, given: bool = False) -> None:
        """Divide sums by their weights, once; with `given` also what came in as arrays.

        Steps of processing that were made before are forgotten of these maps: their cells are new.
        """
        words = {"sums", "given"} if given else {"sums"}
        content = self.stack.content
        chosen = [row for row in (range(len(self)) if rows is None else rows) if str(content[row]) in words]
        if chosen:
            numbers = self.fixed_indices
            for row in chosen:
                self.notes[numbers[row]].steps.clear()
            self.stack.end_accumulation(pixels=chosen, n_threads=self.n_threads)

    def check_grid(self, other: MapBlock) -> None:
        """Complain unless another block has the same cells.

        Raises
        ------
        DataError
            If it has not.
        """
        ours, theirs = self.grid, other.grid
        same = ours.shape == theirs.shape and np.allclose(
            [ours.resolution, ours.reference_index], [theirs.resolution, theirs.reference_index], rtol=1e-9, atol=1e-9
        )
        if not same:
            msg = f"the maps have different grids, {ours} and {theirs}; make both with the same `create_from`"
            raise DataError(msg)


def _whole(number: object) -> int | None:
    """Return the number of a pixel, None if it is no whole number."""
    try:
        return as_count(number, "fixed_index", least=-_MOST)  # type: ignore[arg-type]
    except ParameterError:
        return None


class PixelMaps(MutableMapping[int, "IntensityMap"]):
    """The maps of a block by the fixed index of their pixels.

    What is set is copied into the block; what is got is a view of it.

    Parameters
    ----------
    block : MapBlock or None
        The maps; None: there are none.
    """

    def __init__(self, block: MapBlock | None) -> None:
        self.block = block

    def __getitem__(self, fixed_index: int) -> IntensityMap:
        from pixtrace.scan.intensity_map import IntensityMap

        number = _whole(fixed_index)
        if self.block is None or number is None or number not in self.block.notes:
            raise KeyError(fixed_index)
        return IntensityMap(self.block, number)

    def __setitem__(self, fixed_index: int, intensity_map: IntensityMap) -> None:
        if self.block is None:
            msg = f"there is no grid yet for the map of pixel {fixed_index}; call `create_from` or `set_grid` first"
            raise ParameterError(msg)
        if not hasattr(intensity_map, "copy_into"):
            msg = f"the map of pixel {fixed_index} is a {type(intensity_map).__name__}; expected an IntensityMap"
            raise ParameterError(msg)
        intensity_map.copy_into(self.block, as_count(fixed_index, "fixed_index", least=-_MOST))

    def __delitem__(self, fixed_index: int) -> None:
        gone = _whole(fixed_index)
        if self.block is None or gone is None or gone not in self.block.notes:
            raise KeyError(fixed_index)
        self.block.keep(number for number in self.block.fixed_indices if number != gone)

    def __iter__(self) -> Iterator[int]:
        return iter([] if self.block is None else self.block.fixed_indices)

    def __len__(self) -> int:
        return 0 if self.block is None else len(self.block)

    def __repr__(self) -> str:
        return f"<PixelMaps: {len(self)} maps>"

    def clear(self) -> None:
        """Drop all maps."""
        if self.block is not None:
            self.block.keep([])
