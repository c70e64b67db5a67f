"""The planes of a stack of maps, and what has been done to each map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import numpy.typing as npt

from pixtrace._arrays import as_count, as_double, check_shape
from pixtrace.exceptions import MemoryLimitError, ParameterError, ShapeError
from pixtrace.scan._gates import as_indices, as_map_flags, as_pair, as_rows, as_shape
from pixtrace.scan.stack_memory import DISCARD
from pixtrace.scan.stack_moments import StackMoments

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["StackPlanes"]

CONTENTS: Final = ("given", "sums", "means")
RECORDS: Final = ("smoothing_fwhm", "filter_fwhm", "correcting_fwhm", "filter_blanking", "noise_rescale")
_N_AXES = 3


class StackPlanes(StackMoments):
    """Planes of maps, one map for each pixel, all on one grid; see `MapStack`."""

    _pixel_ids: npt.NDArray[np.int64]
    #: Samples that were left out since the stack was made because their value, or a gain, was not finite.
    n_skipped: int

    def __init__(
        self,
        n_pixels: int,
        shape: tuple[int, int],
        *,
        resolution: float | Sequence[float],
        reference_index: float | Sequence[float],
        pixel_ids: npt.ArrayLike | None = None,
    ) -> None:
        n_pixels = as_count(n_pixels, "n_pixels")
        n_y, n_x = as_shape(shape)
        full = (n_pixels, n_y, n_x)
        try:
            planes = [np.zeros(full) for _ in range(3)]
            flag = np.full(full, DISCARD, dtype=np.uint8)
        except (MemoryError, ValueError) as error:
            size = f"{25e-9 * n_pixels * n_y * n_x:.1f} GB"
            msg = f"no memory for {n_pixels} maps of {n_y} x {n_x} cells ({size}); make fewer maps, or larger cells"
            raise MemoryLimitError(msg) from error
        data, weight, exposure = planes
        self._adopt(data, weight, exposure, flag, resolution, reference_index, pixel_ids)

    @classmethod
    def from_arrays(
        cls,
        data: npt.ArrayLike,
        weight: npt.ArrayLike,
        exposure: npt.ArrayLike,
        flag: npt.ArrayLike,
        *,
        base: npt.ArrayLike | None = None,
        resolution: float | Sequence[float],
        reference_index: float | Sequence[float],
        pixel_ids: npt.ArrayLike | None = None,
    ) -> Self:
        """Make a stack from copies of arrays.

        Whether they hold sums or means, the caller knows: each operation takes them for what it needs. Where it
        matters later, say so with `mark_content`.

        Parameters
        ----------
        data, weight, exposure : array_like, shape (n_pixels, n_y, n_x)
            Values, inverse variances, integration times [s]. Cells whose data are NaN hold nothing.
        flag : array_like of int, shape (n_pixels, n_y, n_x)
            1 = DISCARD (the cell holds nothing), 2 = MASK.
        base : array_like, shape (n_pixels, n_y, n_x), optional
            Maps of the round before; NaN where there is no prior.
        resolution : float or (float, float)
            Size of a cell, x and y [arcsec].
        reference_index : float or (float, float)
            Map index (x, y) of the reference position.
        pixel_ids : array_like of int, shape (n_pixels,), optional
            Numbers by which the pixels are known; by default 0, 1, 2, ...

        Returns
        -------
        MapStack
            The stack.

        Raises
        ------
        ShapeError, DtypeError
            If the arrays do not have the same shape, or hold something else than numbers.
        ParameterError
            If a flag is none of the two, or the grid or the numbers of pixels make no sense.
        """
        planes = [
            np.array(as_double(plane, name, ndim=_N_AXES), order="C")
            for plane, name in ((data, "data"), (weight, "weight"), (exposure, "exposure"))
        ]
        for plane, name in zip(planes[1:], ("weight", "exposure"), strict=True):
            check_shape(plane, planes[0].shape, name, "data")
        flags = as_map_flags(flag, "flag", ndim=_N_AXES)
        check_shape(flags, planes[0].shape, "flag", "data")
        stack = cls.__new__(cls)
        own_flags = np.array(flags, order="C")
        stack._adopt(  # noqa: SLF001 - our own
            planes[0], planes[1], planes[2], own_flags, resolution, reference_index, pixel_ids
        )
        if base is not None:
            prior = as_double(base, "base", ndim=_N_AXES)
            check_shape(prior, planes[0].shape, "base", "data")
            stack._base = np.array(prior, order="C")  # noqa: SLF001 - our own
        return stack

    def _adopt(
        self,
        data: npt.NDArray[np.float64],
        weight: npt.NDArray[np.float64],
        exposure: npt.NDArray[np.float64],
        flag: npt.NDArray[np.uint8],
        resolution: float | Sequence[float],
        reference_index: float | Sequence[float],
        pixel_ids: npt.ArrayLike | None,
    ) -> None:
        """Make these planes ours; they are contiguous and belong to nobody else."""
        n_pixels = data.shape[0]
        ids = np.arange(n_pixels) if pixel_ids is None else as_indices(pixel_ids, "pixel_ids", ndim=1)
        if ids.shape != (n_pixels,):
            msg = f"`pixel_ids` has {ids.size} numbers; expected {n_pixels}, one for each map"
            raise ShapeError(msg)
        if np.unique(ids).size != n_pixels:
            values, counts = np.unique(ids, return_counts=True)
            msg = f"`pixel_ids` holds {values[counts > 1][0]} more than once; every map needs a number of its own"
            raise ParameterError(msg)
        cell, reference = as_pair(resolution, "resolution"), as_pair(reference_index, "reference_index")
        self._data, self._late = data, (weight, exposure, flag)
        self._resolution, self._reference_index = cell, reference
        self._native = self._new_native()
        self._base = None
        self._forget_moments()
        self._pixel_ids = np.array(ids, dtype=np.int64)
        self.n_skipped = 0

    def __len__(self) -> int:
        return self.n_pixels

    def __repr__(self) -> str:
        n_y, n_x = self.shape
        return f"<{type(self).__name__}: {self.n_pixels} maps of {n_y} x {n_x} cells>"

    @property
    def resolution(self) -> tuple[float, float]:
        """Size of a cell, (x, y) [arcsec]."""
        return self._resolution

    @property
    def reference_index(self) -> tuple[float, float]:
        """Map index (x, y) of the reference position."""
        return self._reference_index

    @property
    def pixel_ids(self) -> npt.NDArray[np.int64]:
        """Numbers by which the pixels are known, shape (n_pixels,); a copy."""
        return self._pixel_ids.copy()

    @property
    def content(self) -> list[str]:
        """What the numbers of each map mean: "given" (the caller knows), "sums" or "means"."""
        return [CONTENTS[code] for code in self._native.content.tolist()]

    def mark_content(self, content: str, pixels: npt.ArrayLike | None = None) -> None:
        """Say what the numbers of maps mean.

        Parameters
        ----------
        content : {"given", "sums", "means"}
            What they mean.
        pixels : array_like of int, optional
            Numbers of the maps in the stack; by default all.

        Raises
        ------
        ParameterError
            If it is another word, or there is no such map.
        """
        if content not in CONTENTS:
            msg = f"`content` = {content!r}; it must be one of {', '.join(CONTENTS)}"
            raise ParameterError(msg)
        rows = as_rows(pixels, self.n_pixels)
        self._native.set_content(CONTENTS.index(content), list(range(self.n_pixels)) if rows is None else rows)

    def _set_record(self, name: str, values: npt.ArrayLike) -> None:
        given = as_double(values, name, ndim=None)
        if given.ndim:
            check_shape(given, (self.n_pixels,), name, "the maps")
        # NaN says that nothing was done, except of a beam: there always is one.
        wrong = (given < 0) | ~np.isfinite(given) if name == "smoothing_fwhm" else given < 0
        if wrong.any():
            msg = f"`{name}` holds {given[wrong].flat[0]}; it must be a number from 0 on"
            raise ParameterError(msg)
        self._native.set_records(name, np.full(self.n_pixels, given))

    @property
    def smoothing_fwhm(self) -> npt.NDArray[np.float64]:
        """FWHM of the beam that each map was smoothed with, at first that of the cells [arcsec]; a copy."""
        return self._native.records("smoothing_fwhm")

    @smoothing_fwhm.setter
    def smoothing_fwhm(self, values: npt.ArrayLike) -> None:
        self._set_record("smoothing_fwhm", values)

    @property
    def filter_fwhm(self) -> npt.NDArray[np.float64]:
        """FWHM of the large-scale filter of each map, NaN without one [arcsec]; a copy."""
        return self._native.records("filter_fwhm")

    @filter_fwhm.setter
    def filter_fwhm(self, values: npt.ArrayLike) -> None:
        self._set_record("filter_fwhm", values)

    @property
    def correcting_fwhm(self) -> npt.NDArray[np.float64]:
        """FWHM of the source for which filtering was corrected, NaN without a correction [arcsec]; a copy."""
        return self._native.records("correcting_fwhm")

    @correcting_fwhm.setter
    def correcting_fwhm(self, values: npt.ArrayLike) -> None:
        self._set_record("correcting_fwhm", values)

    @property
    def filter_blanking(self) -> npt.NDArray[np.float64]:
        """Level of S/N beyond which cells were left out of the filter, NaN if none were; a copy."""
        return self._native.records("filter_blanking")

    @filter_blanking.setter
    def filter_blanking(self, values: npt.ArrayLike) -> None:
        self._set_record("filter_blanking", values)

    @property
    def noise_rescale(self) -> npt.NDArray[np.float64]:
        """Factor by which the noise of each map was found to be larger than its weights said; a copy."""
        return self._native.records("noise_rescale")

    @noise_rescale.setter
    def noise_rescale(self, values: npt.ArrayLike) -> None:
        self._set_record("noise_rescale", values)

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the window of the extension on the planes, for pickling and deep copies."""
        # A shallow copy shares the memory.
        self._native.hand_out()
        state = {name: value for name, value in self.__dict__.items() if name not in {"_native", "_moments"}}
        records = {name: np.asarray(self._native.records(name)) for name in RECORDS}
        contents = self._native.content.tolist()
        return {**state, "records": records, "contents": contents, "sample_moments": self.sample_moments}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` returned."""
        state = dict(state)
        records, contents, moments = (state.pop(name) for name in ("records", "contents", "sample_moments"))
        self.__dict__.update(state)
        self.sample_moments = moments
        self._native = self._new_native()
        self._native.hand_out()
        for name, values in records.items():
            self._native.set_records(name, values)
        for row, content in enumerate(contents):
            self._native.set_content(content, [row])

    def _take_over(self, other: StackPlanes, rows: list[int], to: slice) -> None:
        """Copy maps `rows` of another stack, with all that is known of them, to the places `to`."""
        self._data[to], self._weight[to] = other._data[rows], other._weight[rows]
        self._exposure[to], self._flag[to] = other._exposure[rows], other._flag[rows]
        if other._base is not None:
            self.base[to] = other._base[rows]
        for name in RECORDS:
            values: npt.NDArray[Any] = self._native.records(name)
            values[to] = other._native.records(name)[rows]
            self._native.set_records(name, values)
        places = range(self.n_pixels)[to]
        content = other._native.content
        for place, row in zip(places, rows, strict=True):
            self._native.set_content(int(content[row]), [place])
        came_from = dict(zip(places, rows, strict=True))
        self._moments = other._moments.selected([came_from.get(place) for place in range(self.n_pixels)])

    def _like(self, pixel_ids: npt.ArrayLike) -> Self:
        """Return empty maps on the same grid."""
        ids = as_indices(pixel_ids, "pixel_ids", ndim=1)
        return type(self)(
            ids.size,
            self.shape,
            resolution=self.resolution,
            reference_index=self.reference_index,
            pixel_ids=ids,
        )

    def select(self, pixels: npt.ArrayLike) -> Self:
        """Return a stack with copies of some maps.

        Parameters
        ----------
        pixels : array_like of int
            Numbers of the maps in the stack, in the order in which they are wanted.

        Returns
        -------
        MapStack
            The copies, with their numbers of pixels, records, prior maps, and the moments of the samples.

        Raises
        ------
        ParameterError
            If there is no such map, or it is named twice.
        """
        rows = as_rows(pixels, self.n_pixels) or []
        chosen = self._like(self._pixel_ids[rows])
        chosen._take_over(self, rows, slice(0, len(rows)))  # noqa: SLF001 - our own
        return chosen

    def extend(self, pixel_ids: npt.ArrayLike) -> None:
        """Add empty maps.

        The planes are allocated anew and copied: arrays that were taken from the stack before show the old memory.

        Parameters
        ----------
        pixel_ids : array_like of int
            Numbers of the new pixels.

        Raises
        ------
        ParameterError
            If a pixel has a map already.
        """
        ids = as_indices(pixel_ids, "pixel_ids", ndim=1)
        if ids.size:
            larger = self._like(np.concatenate([self._pixel_ids, ids]))
            n = self.n_pixels
            larger._take_over(self, list(range(n)), slice(0, n))  # noqa: SLF001 - our own
            larger.n_skipped = self.n_skipped
            self.__dict__.update(larger.__dict__)

    def clear(self) -> None:
        """Empty all maps and forget what was done to them; prior maps stay."""
        self._empty()
        self._forget_moments()
