"""Everything that a reduction of pixel maps needs in order to go on where it stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from pixtrace._arrays import check_shape
from pixtrace.exceptions import DtypeError, ParameterError, ShapeError
from pixtrace.scan.sample_moments import SampleMoments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from pixtrace.scan.tables import PixelTable

__all__ = ["CONTENTS", "MAP_RECORDS", "MapPlanes", "PixelMapState", "StackLike"]

#: What the numbers of a map can be: as the caller gave them, sums over samples, or means.
CONTENTS = ("given", "sums", "means")
#: What is noted down of each map beside its cells: FWHM [arcsec] of the beam it was smoothed with, of the large-scale
#: filter and of the source for which filtering was corrected (NaN: none), level beyond which cells were left out of the
#: filter (NaN: none were), and the factor by which the noise was found to be larger than the weights say.
MAP_RECORDS = ("smoothing_fwhm", "filter_fwhm", "correcting_fwhm", "filter_blanking", "noise_rescale")

_MAPS_NDIM = 3


class MapPlanes(Protocol):
    """Arrays of shape (n_pixels, n_y, n_x) that maps can be read into; a `MapStack` is such a thing."""

    @property
    def data(self) -> npt.NDArray[np.float64]:
        """Sums or means."""
        ...

    @property
    def weight(self) -> npt.NDArray[np.float64]:
        """Inverse variances."""
        ...

    @property
    def exposure(self) -> npt.NDArray[np.float64]:
        """Integration times."""
        ...

    @property
    def flag(self) -> npt.NDArray[np.uint8]:
        """Flags: 1 = DISCARD, 2 = MASK."""
        ...

    @property
    def base(self) -> npt.NDArray[np.float64]:
        """Maps of the previous round; NaN where there is none."""
        ...


class StackLike(MapPlanes, Protocol):
    """The part of a `MapStack` that its state consists of."""

    @property
    def has_base(self) -> bool:
        """Whether there are maps of the previous round; asking makes none."""
        ...

    @property
    def pixel_ids(self) -> Any:
        """Number of each map's pixel."""
        ...

    @property
    def resolution(self) -> Any:
        """Size of a cell, (x, y)."""
        ...

    @property
    def reference_index(self) -> Any:
        """Map index of the reference position, (x, y)."""
        ...

    @property
    def content(self) -> Sequence[str]:
        """What the numbers of each map are."""
        ...

    @property
    def sample_moments(self) -> SampleMoments:
        """Where in the cells the samples stand."""
        ...

    @property
    def n_skipped(self) -> int:
        """Samples that were passed over."""
        ...


def _empty() -> Mapping[str, Any]:
    """Return a mapping that is empty and stays so."""
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelMapState:
    """The maps of all pixels with everything that belongs to them.

    The arrays are those of whoever made the state, not copies.

    Attributes
    ----------
    pixel_ids : ndarray of int64, shape (n_pixels,)
        Number of each map's pixel in the instrument (its fixed index).
    resolution : tuple of float
        Size of a cell, (x, y) [arcsec].
    reference_index : tuple of float
        Map index of the reference position, (x, y); whole numbers are centres of cells, counted from 0.
    data : ndarray of float64, shape (n_pixels, n_y, n_x)
        Sums of weight times gain times sample, or means, as `content` says.
    weight : ndarray of float64, shape (n_pixels, n_y, n_x)
        Sums of weight times squared gain: the inverse variances of the means.
    exposure : ndarray of float64, shape (n_pixels, n_y, n_x)
        Integration times [s].
    flag : ndarray of uint8, shape (n_pixels, n_y, n_x)
        1 = DISCARD, 2 = MASK.
    base : ndarray of float64, shape (n_pixels, n_y, n_x), or None
        Maps of the previous round, NaN where there is none; None if there are none at all.
    moments : SampleMoments or None
        Where in their cells the samples of each map stand; None: nothing is known.
    content : tuple of {"given", "sums", "means"}
        What the numbers of each map are.
    smoothing_fwhm, filter_fwhm, correcting_fwhm, filter_blanking, noise_rescale : ndarray of float64 or None
        What has been done to each map, shape (n_pixels,); see `MAP_RECORDS`. None: nothing (NaN, NaN, NaN, NaN, 1).
    n_skipped : int
        Samples that were passed over because they were not finite.
    unit : str
        Unit of the data as astropy spells it; empty if it is unknown.
    generation : int
        Number of rounds that the maps have been through.
    integration_time : float
        Integration time of the scans [s].
    configuration : mapping
        Options, as far as JSON can hold them: mappings, lists, texts, numbers, truth values and None.
    history : tuple of str
        What was done, in order.
    table : PixelTable or None
        What has been measured of the pixels so far.
    extra : mapping
        Whatever else is to be kept, as far as JSON can hold it.
    arrays : mapping of str to ndarray
        Further arrays of numbers to be kept, of any shape (gains of channels, weights of frames, ...).
    planes : MapPlanes or None
        The object that holds the arrays, if `pixtrace.io.read_checkpoint` was told to read into one.

    Raises
    ------
    ShapeError
        The arrays do not agree in shape.
    DtypeError
        An array has another type than the one above.
    ParameterError
        `content` holds another word.
    """

    pixel_ids: npt.NDArray[np.int64]
    resolution: tuple[float, float]
    reference_index: tuple[float, float]
    data: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    exposure: npt.NDArray[np.float64]
    flag: npt.NDArray[np.uint8]
    base: npt.NDArray[np.float64] | None = None
    moments: SampleMoments | None = None
    content: tuple[str, ...] = ()
    smoothing_fwhm: npt.NDArray[np.float64] | None = None
    filter_fwhm: npt.NDArray[np.float64] | None = None
    correcting_fwhm: npt.NDArray[np.float64] | None = None
    filter_blanking: npt.NDArray[np.float64] | None = None
    noise_rescale: npt.NDArray[np.float64] | None = None
    n_skipped: int = 0
    unit: str = ""
    generation: int = 0
    integration_time: float = 0.0
    configuration: Mapping[str, Any] = field(default_factory=_empty)
    history: tuple[str, ...] = ()
    table: PixelTable | None = None
    extra: Mapping[str, Any] = field(default_factory=_empty)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=_empty)
    planes: MapPlanes | None = None

    def __post_init__(self) -> None:
        """Check that everything fits together."""
        if self.data.ndim != _MAPS_NDIM:
            msg = f"`data` has shape {self.data.shape}; expected (n_pixels, n_y, n_x)"
            raise ShapeError(msg)
        shape = self.data.shape
        for name, dtype in (("data", "f8"), ("weight", "f8"), ("exposure", "f8"), ("flag", "u1"), ("base", "f8")):
            self._check(name, shape, dtype)
        if self.moments is not None:
            found = (self.moments.n_pixels, *self.moments.sums.shape[2:])
            if found != shape:
                msg = f"`moments` are of maps of shape {found}; expected {shape}, that of `data`"
                raise ShapeError(msg)
        object.__setattr__(self, "pixel_ids", np.asarray(self.pixel_ids).astype(np.int64, casting="same_kind"))
        for name in ("pixel_ids", *MAP_RECORDS):
            self._check(name, shape[:1], "i8" if name == "pixel_ids" else "f8")
        for name in ("resolution", "reference_index"):
            x, y = getattr(self, name)
            object.__setattr__(self, name, (float(x), float(y)))
        content = tuple(str(word) for word in self.content) or ("given",) * shape[0]
        object.__setattr__(self, "content", content)
        if len(content) != shape[0] or not set(content) <= set(CONTENTS):
            msg = (
                f"`content` = {content[:5]}... for {shape[0]} maps; expected one of {', '.join(CONTENTS)} for each map"
            )
            raise ParameterError(msg)

    def _check(self, name: str, shape: tuple[int, ...], dtype: str) -> None:
        """Check the shape and the type of an array, if it is there."""
        array = getattr(self, name)
        if array is None:
            return
        check_shape(array, shape, name, "data")
        if array.dtype != np.dtype(dtype):
            msg = f"`{name}` has dtype {array.dtype}; expected {np.dtype(dtype)}"
            raise DtypeError(msg)

    @property
    def n_pixels(self) -> int:
        """Number of maps.

        Returns
        -------
        int
            Number of pixels that have a map.
        """
        return int(self.data.shape[0])

    @classmethod
    def of_stack(cls, stack: StackLike, **rest: Any) -> Self:
        """Return the state of a stack of maps; its arrays are those of the stack.

        Parameters
        ----------
        stack : MapStack
            The maps.
        **rest : object
            Attributes that a stack does not know: unit, generation, configuration, ...

        Returns
        -------
        PixelMapState
            The state.
        """
        moments = stack.sample_moments
        records: dict[str, Any] = {name: np.asarray(getattr(stack, name), dtype=np.float64) for name in MAP_RECORDS}
        return cls(
            pixel_ids=np.asarray(stack.pixel_ids, dtype=np.int64),
            resolution=tuple(stack.resolution),
            reference_index=tuple(stack.reference_index),
            data=stack.data,
            weight=stack.weight,
            exposure=stack.exposure,
            flag=stack.flag,
            base=stack.base if stack.has_base else None,
            moments=moments if len(moments.sums) else None,
            content=tuple(stack.content),
            n_skipped=int(stack.n_skipped),
            **records,
            **rest,
        )

    def restore(self, stack: Any) -> None:
        """Bring a stack of as many maps of the same shape into this state.

        Planes that the stack has already, because the state was read into it, are not copied.

        Parameters
        ----------
        stack : MapStack
            The maps; they are overwritten.

        Raises
        ------
        ShapeError
            It has another number of maps, or maps of another shape.
        """
        check_shape(stack.data, self.data.shape, "stack.data", "state.data")
        for name in ("data", "weight", "exposure", "flag"):
            ours, theirs = getattr(self, name), getattr(stack, name)
            if ours is not theirs and not np.shares_memory(ours, theirs):
                theirs[...] = ours
        if self.base is None:
            if stack.has_base:
                stack.base[...] = np.nan
        elif not np.shares_memory(self.base, stack.base):
            stack.base[...] = self.base
        moments = self.moments
        stack.sample_moments = SampleMoments.unknown(*self.data.shape) if moments is None else moments
        for word in CONTENTS:
            maps = [number for number, found in enumerate(self.content) if found == word]
            if maps:
                stack.mark_content(word, pixels=maps)
        for name in MAP_RECORDS:
            values = getattr(self, name)
            if values is not None:
                setattr(stack, name, values)
