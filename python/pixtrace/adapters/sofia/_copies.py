"""Copies of a `PixelMap` for sofia_redux: of the model itself, pickled ones, and what they know of the round before."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from pixtrace.adapters.sofia._fits import Model
from pixtrace.adapters.sofia._store import PixelStore, grid_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

__all__ = ["Copies"]


class Copies(PixelStore):
    """What a copy shares with its original, and what is its own; see `PixelMap`."""

    grid: Any
    reduction: Any
    _original: Any = None
    _carried: Mapping[int, npt.NDArray[Any]] = MappingProxyType({})

    def copy(self, with_contents: bool = True) -> Self:  # noqa: FBT001, FBT002 - the signature of sofia_redux
        """Return a copy with maps of its own, or with none."""
        numbers = self.collect()
        self._take_base()
        other: Self = super().copy(with_contents=False)  # type: ignore[misc]  # of sofia_redux
        other._ours = Model(other.info, other.reduction)
        other._original, other._carried = self._original or self, self._carried
        other.pixel_maps = {}
        block = self._ours.block
        if block is not None:
            self.pull()
            other._ours.block = block.select(numbers if with_contents else [])
            other._ours.map_coupling = dict(self._ours.map_coupling) if with_contents else {}
            other.grid, other.template.grid = self.grid, self.grid
            other.rebind()
            other.push()
        return other

    def _shared_base(self) -> Mapping[int, npt.NDArray[Any]]:
        """Return the maps of the round before, by pixel, of the model that this one is a copy of.

        sofia_redux copies the model of a reduction once, adds the scans of each round to that copy (or, in other
        processes, to pickled copies of it), and tells the model alone of the end of a round: its copies share the base.
        """
        model: Model | None = getattr(self._original, "_ours", None)
        block = None if model is None else model.block
        if block is None or self.grid is None or block.grid != grid_of(self):
            return self._carried
        if not block.stack.has_base:
            return {}
        return {number: block.stack.base[block.row(number)] for number in block.fixed_indices}

    def _forget_original(self) -> None:
        self._original, self._carried = None, {}

    def _take_base(self) -> None:
        """Let all maps know the round before, if this is a copy."""
        block, shared = self._ours.block, self._shared_base()
        if block is None or not shared:
            return
        for number in block.fixed_indices:
            if number in shared:
                block.stack.base[block.row(number)] = shared[number]
        self.rebind()

    def __getstate__(self) -> dict[str, Any]:
        """Return everything, with the maps in one block."""
        self.pull()
        self._take_base()
        state = dict(self.__dict__)
        state.pop("_original", None)
        state["_carried"] = dict(self._shared_base())
        state["pixel_maps"] = dict.fromkeys(self.strangers())
        ours = state.pop("_ours")
        state["block"], state["map_coupling"] = ours.block, dict(ours.map_coupling)
        if ours.block is not None:
            state["block"] = ours.block.select(ours.block.fixed_indices)
            state["block"].info = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` returned."""
        state = dict(state)
        block, couplings = state.pop("block"), state.pop("map_coupling")
        self.__dict__.update(state)
        self._ours = Model(self.info, self.reduction) if self.info is not None else Model()
        self._ours.block, self._ours.map_coupling = block, couplings
        self._is_unbound = block is not None
        if hasattr(self.template, "map"):  # else in the middle of a cycle of objects: with the next operation
            self.collect()
