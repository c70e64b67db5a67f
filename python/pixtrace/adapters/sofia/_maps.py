"""The map of one pixel as an object of sofia_redux whose arrays lie in our block of maps.

Imported where it is asked for: it needs sofia_redux.
"""

from __future__ import annotations

import copy as copying
import math
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.adapters.sofia._peer import peer_module
from pixtrace.exceptions import DataError
from pixtrace.scan import IntensityMap as BlockMap
from pixtrace.scan._units import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pixtrace.scan.block import MapBlock, MapNotes

__all__ = ["IntensityMap", "NativeIntensityMap", "Observation"]

_MODELS = "sofia_redux.scan.source_models"
NativeIntensityMap: Any = peer_module(f"{_MODELS}.astro_intensity_map").AstroIntensityMap
_NativeObservation: Any = peer_module(f"{_MODELS}.maps.observation_2d").Observation2D
_Image: Any = peer_module(f"{_MODELS}.maps.image_2d").Image2D
_Beam: Any = peer_module(f"{_MODELS}.beams.gaussian_2d").Gaussian2D

#: Flags that a cell of ours can have: DISCARD and MASK, by the same numbers in both packages.
_FLAGS = 3


class Observation(_NativeObservation):  # type: ignore[misc]  # sofia_redux comes without types
    """The planes of one map: data, weight and exposure are windows on our block.

    Attributes
    ----------
    owner : IntensityMap or None
        The map that it belongs to; None for a copy, which has arrays of its own.
    """

    owner: IntensityMap | None = None

    @property
    def referenced_attributes(self) -> Any:  # noqa: ANN401
        """Attributes that a copy shares."""
        return set(super().referenced_attributes) | {"owner"}

    def copy(self, with_contents: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002 - the signature of sofia_redux
        """Return a copy with arrays of its own."""
        found = super().copy(with_contents=with_contents)
        found.owner = None
        return found

    def end_accumulation(self) -> None:
        """Divide sums by their weights, if that was not done yet."""
        if self.owner is None or self.owner.ours is None:
            super().end_accumulation()
        else:
            self.owner.end_accumulation()

    def planes(self) -> tuple[Any, Any, Any, Any]:
        """Return data, weight, exposure and flags as they are."""
        return self.data, self.weight.data, self.exposure.data, self.flag


class IntensityMap(NativeIntensityMap):  # type: ignore[misc]  # likewise
    """The map of one pixel: an `AstroIntensityMap` of sofia_redux whose arrays are windows on a block of pixtrace.

    Attributes
    ----------
    ours : pixtrace.scan.IntensityMap or None
        The same map as an object of ours; None for a template, which has no cells in a block.
    """

    default_map_class = Observation
    ours: BlockMap | None = None
    base: Any
    process_brief: Any
    _views: tuple[Any, ...] = ()
    _stack_data: Any = None

    @property
    def referenced_attributes(self) -> Any:  # noqa: ANN401
        """Attributes that a copy shares."""
        return set(super().referenced_attributes) | {"ours", "_views", "_stack_data"}

    @classmethod
    def on(cls, template: Any, block: MapBlock, number: int) -> IntensityMap:  # noqa: ANN401
        """Return the window on a map of a block, with what a template says of the rest."""
        return cls.on_each(template, block, [number])[number]

    @classmethod
    def on_each(cls, template: Any, block: MapBlock, numbers: Sequence[int]) -> dict[int, IntensityMap]:  # noqa: ANN401
        """Return the windows on some maps of a block, with what a template says of the rest.

        The planes of each are a copy of the template's, without contents. `copy` of sofia_redux takes 3 ms for that,
        more than it takes to fill a map; what it has made once is copied by way of its pickled form.
        """
        blank = template.map.copy(with_contents=False)
        blank.__class__ = Observation
        blank.owner = blank.grid = blank.executor = None
        form = pickle.dumps(blank)
        made: dict[int, IntensityMap] = {}
        for number in numbers:
            found: IntensityMap = copying.copy(template)
            found.__class__ = cls
            found.map = pickle.loads(form)  # noqa: S301 - our own, of a moment ago
            found.map.grid, found.map.executor = template.map.grid, template.map.executor
            if template.grid is not None:
                found.map.grid = template.grid
            found.map.owner = found
            found.id = str(number)
            found.hdul = None
            found.process_brief = []
            notes = block.notes[number]
            found.generation, found.smoothing = notes.generation, _angle(notes.smoothing)
            found.bind(block, number)
            found.push()
            made[number] = found
        return made

    def bind(self, block: MapBlock, number: int) -> None:
        """Make the arrays windows on a map of a block."""
        row, stack = block.row(number), block.stack
        self.ours = BlockMap(block, number)
        self._stack_data = stack.data
        self._views = (stack.data[row], stack.weight[row], stack.exposure[row], stack.flag[row])
        basis, weight, exposure = self.map.basis, self.map.weight, self.map.exposure
        for image, plane in zip((basis, weight, exposure), self._views, strict=False):
            image._data = plane
            image._fixed_index = _numbers(plane.shape)
        basis._flag = self._views[3]
        for image in (weight, exposure):
            image._flag = np.zeros(stack.shape, dtype=np.uint8)
        self._bind_base()

    def _bind_base(self) -> None:
        ours = self.ours
        if ours is not None and ours.block.stack.has_base:
            prior = ours.base
            if self.base is None or self.base._data is not prior:
                base = _Image()
                base._data, base._flag = prior, np.zeros(prior.shape, dtype=np.uint8)
                base._fixed_index = _numbers(prior.shape)
                self.base = base

    def is_in(self, block: MapBlock, number: int) -> bool:
        """Tell whether it is the window on the map of a pixel in this block."""
        return self.ours is not None and self.ours.block is block and self.ours.fixed_index == number

    def absorb(self) -> None:
        """Take arrays that sofia_redux has put in the place of ours into the block, and look at the block again.

        Raises
        ------
        DataError
            If they have another shape.
        """
        ours = self.ours
        if ours is None:
            return
        for name, found, ours_was in zip(
            ("data", "weight", "exposure", "flag"), self.map.planes(), self._views, strict=True
        ):
            if found is not ours_was:
                put_plane(ours, name, found)
                ours.notes.steps.clear()  # what was done before was done to other cells
        if self.map.basis._data is not self._views[0] or self._stack_data is not ours.block.stack.data:
            self.bind(ours.block, ours.fixed_index)

    def rebind(self) -> None:
        """Look at the block again, if it has been moved in memory."""
        ours = self.ours
        if ours is not None:
            if self._stack_data is not ours.block.stack.data:
                self.bind(ours.block, ours.fixed_index)
            else:
                self._bind_base()

    def pull(self) -> None:
        """Note down in the block what sofia_redux keeps beside the cells."""
        ours = self.ours
        if ours is None:
            return
        notes: MapNotes = ours.notes
        self.process_brief = [] if self.process_brief is None else self.process_brief
        notes.process_brief, notes.history = self.process_brief, self.map.history
        notes.generation, notes.smoothing = int(self.generation), float(plain(self.smoothing, "arcsec", "smoothing"))
        notes.integration_time = float(plain(self.integration_time, "s", "integration_time"))

    def push(self) -> None:
        """Set what sofia_redux keeps beside the cells to what the block says."""
        ours = self.ours
        if ours is None:
            return
        notes, stack, row = ours.notes, ours.block.stack, ours.block.row(ours.fixed_index)
        from astropy import units

        self.generation, self.integration_time = notes.generation, notes.integration_time * units.Unit("second")
        beam = float(stack.smoothing_fwhm[row])
        if not math.isclose(beam, beam_fwhm(self.map.smoothing_beam), rel_tol=1e-9):
            fwhm = _angle(beam)
            self.map.smoothing_beam = _Beam(x_fwhm=fwhm, y_fwhm=fwhm)
        self.map.filter_fwhm = _angle(stack.filter_fwhm[row])
        self.map.correcting_fwhm = _angle(stack.correcting_fwhm[row])
        blanking = float(stack.filter_blanking[row])
        self.map.filter_blanking = math.inf if math.isnan(blanking) else blanking
        self.map.noise_rescale = float(stack.noise_rescale[row])

    def records(self) -> tuple[float, float, float, float, float]:
        """Return what the stack keeps of a map, in the order of its records."""
        found = self.map
        blanking = float(found.filter_blanking)
        return (
            beam_fwhm(found.smoothing_beam),
            float(plain(found.filter_fwhm, "arcsec", "filter_fwhm")),
            float(plain(found.correcting_fwhm, "arcsec", "correcting_fwhm")),
            math.nan if math.isinf(blanking) else blanking,
            float(found.noise_rescale),
        )

    def set_content(self, name: str, values: npt.ArrayLike) -> None:
        """Copy an array into a plane of the block."""
        if self.ours is not None:
            put_plane(self.ours, name, values)

    def end_accumulation(self) -> None:
        """Divide sums by their weights, if that was not done yet."""
        if self.ours is None:
            super().end_accumulation()
        else:
            self.absorb()
            self.ours.end_accumulation()

    def merge_accumulate(self, other: Any) -> None:  # noqa: ANN401
        """Add the samples of another map to this one."""
        ours, theirs = self.ours, getattr(other, "ours", None)
        if ours is None or theirs is None:
            super().merge_accumulate(other)
            return
        self.absorb()
        other.absorb()
        self._through(lambda: ours.merge_accumulate(theirs))

    def process_final(self) -> None:
        """Level and reweight for good."""
        if self.ours is None:
            super().process_final()
            return
        self.absorb()
        self._through(self.ours.process_final)

    def _through(self, operation: Any) -> None:  # noqa: ANN401
        """Do something to the map in the block, with what sofia_redux keeps taken there and back."""
        ours = self.ours
        if ours is not None:
            self.pull()
            put_records(ours.block, [ours.block.row(ours.fixed_index)], [self.records()])
            operation()
            self.push()

    def copy(self, with_contents: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002 - the signature of sofia_redux
        """Return a copy with arrays of its own."""
        if self.ours is None:
            return super().copy(with_contents=with_contents)
        self.absorb()
        other = self.ours.copy(with_contents)
        return IntensityMap.on(self, other.block, self.ours.fixed_index)

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the block: a map that is pickled by itself has arrays of its own."""
        left_out = {"ours", "_views", "_stack_data"}
        state = {name: value for name, value in self.__dict__.items() if name not in left_out}
        if self.ours is not None:
            state["block"] = self.ours.block.select([self.ours.fixed_index])
            state["fixed_index"] = self.ours.fixed_index
            state["map"] = self.map.copy(with_contents=False)
            state["base"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` returned."""
        state = dict(state)
        block, number = state.pop("block", None), state.pop("fixed_index", None)
        self.__dict__.update(state)
        if block is not None:
            self.map.owner = self
            self.bind(block, number)


def beam_fwhm(beam: Any) -> float:  # noqa: ANN401
    """Return the FWHM of a round beam of the same area [arcsec]; 0 where there is none."""
    if beam is None:
        return 0.0
    return math.sqrt(float(plain(beam.x_fwhm, "arcsec", "beam")) * float(plain(beam.y_fwhm, "arcsec", "beam")))


def _angle(value: float) -> Any:  # noqa: ANN401
    from astropy import units

    return float(value) * units.arcsec


def put_plane(ours: BlockMap, name: str, values: Any) -> None:  # noqa: ANN401
    """Copy an array of sofia_redux into a plane of a map.

    Raises
    ------
    DataError
        If it is missing, or of another shape.
    """
    if values is None or np.shape(values) != ours.shape:
        shape = None if values is None else np.shape(values)
        msg = f"`{name}` of the map of pixel {ours.fixed_index} has shape {shape}; expected {ours.shape}"
        raise DataError(msg)
    array = np.asarray(values)
    getattr(ours.map, name)[...] = array & _FLAGS if name == "flag" else array


def put_records(block: MapBlock, rows: list[int], records: list[tuple[float, ...]]) -> None:
    """Set what the stack keeps of maps."""
    names = ("smoothing_fwhm", "filter_fwhm", "correcting_fwhm", "filter_blanking", "noise_rescale")
    for name, column in zip(names, zip(*records, strict=True), strict=True):
        values = np.array(getattr(block.stack, name), dtype=np.float64)
        values[rows] = column
        setattr(block.stack, name, values)


_last_numbers: list[npt.NDArray[np.int64]] = []


def _numbers(shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return the numbers of cells, the same array for all maps of a shape."""
    if not _last_numbers or _last_numbers[0].shape != shape:
        _last_numbers[:] = [np.arange(math.prod(shape)).reshape(shape)]
    return _last_numbers[0]
