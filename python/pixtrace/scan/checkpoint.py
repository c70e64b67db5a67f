"""A `PixelMap` as a state that can be kept, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pixtrace.scan.block import MapBlock
from pixtrace.scan.configuration import Configuration
from pixtrace.scan.info import Info, Instrument
from pixtrace.scan.projection import MapGrid
from pixtrace.scan.stack import MapStack
from pixtrace.scan.state import PixelMapState

if TYPE_CHECKING:
    from pixtrace.scan.pixel_map import PixelMap

__all__ = ["from_state", "to_state"]

Model = TypeVar("Model", bound="PixelMap")

_SWITCHES = ("enable_level", "enable_weighting", "enable_bias")


def to_state(model: PixelMap) -> PixelMapState:
    """Return everything that is needed to go on with maps; the arrays are those of the maps.

    The table of the pixels belongs to it: what was not measured since the maps changed is measured now.

    Parameters
    ----------
    model : PixelMap
        Maps, at least with a grid.

    Returns
    -------
    PixelMapState
        The state.
    """
    block = model.need_block()
    info = model.info
    notes = {str(number): asdict(found) for number, found in block.notes.items()}
    instrument = asdict(info.instrument) if isinstance(info.instrument, Instrument) else {}
    scan = model.get_first_scan()
    return PixelMapState.of_stack(
        block.stack,
        unit=str(getattr(info.instrument, "data_unit", "") or ""),
        generation=model.generation,
        integration_time=float(model.integration_time),
        configuration=info.configuration.changed() if isinstance(info.configuration, Configuration) else {},
        history=tuple(model.history),
        table=model.get_pixel_table(),
        extra={
            "projection": block.grid.projection,
            "notes": notes,
            "map_coupling": {str(number): value for number, value in model.map_coupling.items()},
            "switches": {name: bool(getattr(model, name)) for name in _SWITCHES},
            "instrument": {name: _number(value) for name, value in instrument.items()},
            "scan": None if scan is None else str(scan.get_id()),
            "source_name": model.get_source_name(),
        },
    )


def _number(value: Any) -> Any:
    """Return None for NaN, which JSON does not know."""
    return None if isinstance(value, float) and np.isnan(value) else value


def from_state(kind: type[Model], state: PixelMapState) -> Model:
    """Return maps that can go on where the state was taken; they have no scans.

    Parameters
    ----------
    kind : type
        `PixelMap` or a subclass.
    state : PixelMapState
        The state; where it was read into a stack, that stack is used.

    Returns
    -------
    PixelMap
        The maps.
    """
    extra = state.extra
    constants = {name: value for name, value in extra.get("instrument", {}).items() if value is not None}
    model = kind(Info(Instrument(**constants), dict(state.configuration)))
    n_y, n_x = state.data.shape[1:]
    grid = MapGrid((n_y, n_x), state.resolution, state.reference_index, extra.get("projection", "tan"))
    model.set_grid(grid)
    stack = state.planes
    if not isinstance(stack, MapStack):
        stack = MapStack(
            state.n_pixels,
            grid.shape,
            resolution=grid.resolution,
            reference_index=grid.reference_index,
            pixel_ids=state.pixel_ids.tolist(),
        )
    state.restore(stack)
    block = MapBlock(grid, info=model.info, stack=stack)
    for number, values in extra.get("notes", {}).items():
        for name, value in values.items():
            setattr(block.notes[int(number)], name, value)
    model.block = block
    model.generation, model.integration_time = state.generation, state.integration_time
    model.history = list(state.history)
    model.map_coupling = {int(number): float(value) for number, value in extra.get("map_coupling", {}).items()}
    for name, value in extra.get("switches", {}).items():
        setattr(model, name, value)
    return model
