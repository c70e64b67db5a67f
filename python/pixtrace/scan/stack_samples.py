"""Samples into maps, maps into maps, and maps out of samples again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pixtrace._arrays import as_double, as_real, check_shape
from pixtrace.exceptions import DataError, ParameterError, ShapeError
from pixtrace.scan._gates import as_bits, as_indices, as_mask, as_rows, as_threads
from pixtrace.scan._in_place import apart, as_changeable, check_bits, in_place
from pixtrace.scan.samples import as_samples
from pixtrace.scan.stack_memory import check_writeable
from pixtrace.scan.stack_planes import StackPlanes

if TYPE_CHECKING:
    from pixtrace import _native
    from pixtrace._native import _SyncArguments as SyncArguments

__all__ = ["StackSamples"]

# Moments and counts belong to all maps of a stack; they take no time worth a lock for each stack.
_NOTING = threading.Lock()
_N_AXES = 3


class StackSamples(StackPlanes):
    """Maps that take samples and other maps, and can be subtracted from timestreams; see `MapStack`."""

    def add_points(
        self,
        frame_data: npt.ArrayLike,
        frame_gains: npt.ArrayLike,
        frame_weights: npt.ArrayLike,
        source_gains: npt.ArrayLike,
        channel_variance: npt.ArrayLike,
        valid_frames: npt.ArrayLike,
        map_indices: npt.ArrayLike,
        channel_indices: npt.ArrayLike,
        sample_flags: npt.ArrayLike,
        exclude_sample_flag: int,
        dt: float,
        *,
        map_positions: npt.ArrayLike | None = None,
        pixels: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> int:
        """Add timestreams to the maps, straight from the arrays.

        With gain ``g`` and weight ``w`` of the frame, source gain ``G`` and variance ``v`` of the channel, a sample
        ``d`` adds ``w g G d / v`` to the data of its cell, ``w g^2 G^2 / v`` to the weight, and ``dt`` to the exposure;
        the cell is no longer discarded. Samples off the map, flagged ones, and those of frames and channels without a
        gain are left out. Those that are not finite, or whose gain is not, are left out too, and counted in
        `n_skipped`. Maps that hold means become sums again before anything is added.

        Nothing is copied if the arrays are in machine byte order, `frame_data` is float32 or float64 and `sample_flags`
        are uint8, int32 or int64; float32 and uint8 are the fastest.

        Parameters
        ----------
        frame_data : array_like, shape (n_frames, n_channels)
            Signal as the detector wrote it.
        frame_gains, frame_weights : array_like, shape (n_frames,)
            Gain and relative weight of each frame; where one is 0, NaN or infinite, or the weight is negative, the
            frame is left out.
        source_gains : array_like, shape (n_channels,)
            Gain of each channel to the source; where it is 0, NaN or infinite, the channel is left out.
        channel_variance : array_like, shape (n_listed,)
            Variance of each listed channel [square of the data]; a channel is left out unless it is positive.
        valid_frames : array_like of bool, shape (n_frames,)
            Frames that may be used.
        map_indices : array_like of int, shape (2, n_frames, 1) or (2, n_frames, n_channels)
            Map index (x, y) of each frame, or of each sample.
        channel_indices : array_like of int, shape (n_listed,)
            The listed channels, each once: the k-th goes to map k, or to map ``pixels[k]``.
        sample_flags : array_like of int, shape (n_frames, n_channels)
            Flags.
        exclude_sample_flag : int
            A sample with any of these flags is left out.
        dt : float
            Integration time of a sample [s].
        map_positions : array_like, shape (2, n_frames), optional
            Map index (x, y) of each frame before it was rounded. With it, `sample_moments` are kept, and fits know
            where in their cells the samples of each map stand.
        pixels : array_like of int, shape (n_listed,), optional
            Maps that the listed channels go to; by default all of them in order.
        n_threads : int, optional
            Number of threads; by default one for each core. The result does not depend on it, to the last bit.

        Returns
        -------
        int
            Number of frames that were used, whether or not any of their samples was.

        Raises
        ------
        ShapeError, DtypeError
            If the arrays do not fit together, or hold something else than numbers. Nothing was added then.
        ParameterError
            If a channel or map does not exist or is named twice, `dt` is negative or not a number, or `map_positions`
            are more than a cell from `map_indices`.
        """
        samples = as_samples(
            {
                "frame_data": frame_data,
                "frame_gains": frame_gains,
                "frame_weights": frame_weights,
                "source_gains": source_gains,
                "channel_variance": channel_variance,
                "valid_frames": valid_frames,
                "map_indices": map_indices,
                "channel_indices": channel_indices,
                "sample_flags": sample_flags,
                "exclude_sample_flag": exclude_sample_flag,
            }
        )
        rows = as_rows(pixels, self.n_pixels)
        # A copy: they are looked at after the maps have changed.
        positions = None if map_positions is None else as_double(map_positions, "map_positions").copy()
        if positions is not None:
            check_shape(positions, (2, samples["frame_data"].shape[0]), "map_positions", "frame_data")
            self._check_positions(positions, samples["map_indices"])
        threads = as_threads(n_threads)
        added = self._native.add_points(samples, as_real(dt, "dt"), pixels=rows, n_threads=threads)
        n_frames, _, n_skipped = added
        moments = None
        if positions is not None:
            moments = self._native.sample_moments(samples, positions, added, pixels=rows, n_threads=threads)
        self._note(n_skipped, moments)
        return n_frames

    def _check_positions(self, positions: npt.NDArray[np.float64], indices: npt.NDArray[np.int64]) -> None:
        """Complain about positions that are not those that were rounded to the indices."""
        if indices.ndim != _N_AXES or indices.shape[2] != 1 or indices.shape[:2] != positions.shape:
            return
        x, y = indices[..., 0]
        is_inside = (x >= 0) & (x < self.shape[1]) & (y >= 0) & (y < self.shape[0])
        frames = np.flatnonzero(is_inside)
        off = np.abs(positions[:, frames] - indices[:, frames, 0]).max(axis=0, initial=0.0)
        if (off > 1.0).any():
            frame = int(frames[np.flatnonzero(off > 1.0)[0]])
            found, index = positions[:, frame].tolist(), indices[:, frame, 0].tolist()
            msg = (
                f"`map_positions` of frame {frame} is {found}, and its map index {index}; expected the map index "
                "before it was rounded, in cells"
            )
            raise ParameterError(msg)

    def accumulate(
        self,
        data: npt.ArrayLike,
        gains: npt.ArrayLike,
        weights: npt.ArrayLike,
        indices: npt.ArrayLike,
        dt: float,
        *,
        pixels: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> None:
        """Add samples with gains and weights of their own, such as `get_sample_points` returns.

        A sample ``d`` with gain ``g`` and weight ``w`` adds ``w g d``, ``w g^2`` and ``dt`` to data, weight and
        exposure of its cell. Samples off the map are left out. So are those whose value or gain is not finite, or whose
        weight is negative or not finite, and they are counted in `n_skipped`. A weight of 0 counts as exposure.

        Parameters
        ----------
        data, gains, weights : array_like, shape (n_frames, n_listed)
            Values, gains, and weights (inverse variances); column k goes to map k, or to map ``pixels[k]``.
        indices : array_like of int, shape (2, n_frames, n_listed) or (2, n_frames, 1)
            Map indices (x, y).
        dt : float
            Integration time of a sample [s].
        pixels : array_like of int, shape (n_listed,), optional
            Maps that the columns go to; by default all of them in order.
        n_threads : int, optional
            Number of threads; by default one for each core. The result does not depend on it.

        Raises
        ------
        ShapeError, DtypeError, ParameterError
            As for `add_points`.
        """
        _, n_skipped = self._native.accumulate(
            as_double(data, "data"),
            as_double(gains, "gains"),
            as_double(weights, "weights"),
            as_indices(indices, "indices", ndim=3),
            as_real(dt, "dt"),
            pixels=as_rows(pixels, self.n_pixels),
            n_threads=as_threads(n_threads),
        )
        self._note(n_skipped)

    def _combine(self, other: object, weight: float | None, pixels: npt.ArrayLike | None, n: int | None) -> None:
        if not isinstance(other, StackPlanes):
            msg = f"`other` is a {type(other).__name__}; expected a MapStack"
            raise ParameterError(msg)
        if other.shape != self.shape:
            msg = f"the maps of `other` have shape {other.shape}; expected {self.shape}, that of the maps to add to"
            raise ShapeError(msg)
        same_cells = np.allclose(other.resolution, self.resolution, rtol=1e-9, atol=0.0)
        if not same_cells or not np.allclose(other.reference_index, self.reference_index, rtol=0.0, atol=1e-6):
            msg = (
                f"the maps of `other` lie on another grid: cells of {other.resolution} with the reference at "
                f"{other.reference_index}; expected {self.resolution} and {self.reference_index}"
            )
            raise ParameterError(msg)
        rows = as_rows(pixels, self.n_pixels)
        if rows is None:
            rows = list(range(self.n_pixels))
        if len(rows) != other.n_pixels:
            msg = f"`other` has {other.n_pixels} maps; expected {len(rows)}, one for each map to add to"
            raise ShapeError(msg)
        # A stack that is added to itself: what is added must not change meanwhile.
        source = other.select(range(other.n_pixels)) if other.data is self.data else other
        if len(set(rows)) != len(rows):
            twice = next(row for row in rows if rows.count(row) > 1)
            msg = f"`pixels` holds {twice} more than once; a map is added to once"
            raise ParameterError(msg)
        pairs = list(zip(rows, range(len(rows)), strict=True))
        self._native.combine(source._native, pairs, weight, n_threads=as_threads(n))  # noqa: SLF001 - our own
        self._note(0, source._moments, pairs, 1.0 if weight is None else weight)  # noqa: SLF001 - our own

    def _note(
        self,
        n_skipped: int,
        moments: _native.SampleMoments | None = None,
        pairs: list[tuple[int, int]] | None = None,
        weight: float = 1.0,
    ) -> None:
        """Add to what is kept for all maps together; the moments are of as many maps, or of those of the pairs."""
        with _NOTING:
            self.n_skipped += n_skipped
            if moments is not None:
                all_of_them = [(row, row) for row in range(self.n_pixels)]
                self._moments = self._moments.merged(moments, all_of_them if pairs is None else pairs, weight)

    def merge_accumulate(
        self, other: StackPlanes, *, pixels: npt.ArrayLike | None = None, n_threads: int | None = None
    ) -> None:
        """Add the sums of other maps to these.

        Only valid cells of `other` count; data, weight and exposure are added. Maps that hold means become sums first,
        on both sides (the other one's are not changed). The record of the smoothing is then that of the wider beam,
        that of the filter that of the narrower one.

        Parameters
        ----------
        other : MapStack
            Maps on the same grid, as many as maps to add to. The stack itself may be given; it is doubled.
        pixels : array_like of int, optional
            Maps to add to, in the order of those of `other`; by default all.
        n_threads : int, optional
            Number of threads; by default one for each core. The result does not depend on it.

        Raises
        ------
        ShapeError, ParameterError
            If the maps or their numbers do not agree. Nothing was added then.
        """
        self._combine(other, None, pixels, n_threads)

    def add_model_data(
        self,
        other: StackPlanes,
        weight: float = 1.0,
        *,
        pixels: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> None:
        """Add other maps, which are means, with their weights times a factor.

        Over the valid cells of `other`, data grow by ``weight x weight_other x data_other``, weights by
        ``weight x weight_other``, exposures by those of `other`. Maps of `other` that are known to hold sums are taken
        as the means that they stand for.

        Parameters
        ----------
        other : MapStack
            Maps on the same grid, as many as maps to add to.
        weight : float, optional
            The factor, 0 or more.
        pixels : array_like of int, optional
            Maps to add to, in the order of those of `other`; by default all.
        n_threads : int, optional
            Number of threads; by default one for each core. The result does not depend on it.

        Raises
        ------
        ShapeError, ParameterError
            If the maps or their numbers do not agree, or the weight makes no sense. Nothing was added then.
        """
        self._combine(other, as_real(weight, "weight"), pixels, n_threads)

    def sync(
        self,
        frame_data: npt.NDArray[Any],
        frame_valid: npt.ArrayLike,
        frame_gains: npt.ArrayLike,
        channel_indices: npt.ArrayLike,
        map_indices: npt.ArrayLike,
        source_gains: npt.ArrayLike,
        sync_gains: npt.ArrayLike,
        sample_flags: npt.NDArray[Any],
        sample_blank_flag: int,
        *,
        pixels: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> None:
        """Subtract the maps from timestreams, in place, and flag the samples over masked cells.

        Over a valid cell, a sample loses ``g (G map - Y base)``, with gain ``g`` of the frame, present source gain
        ``G`` and former one ``Y`` of the channel; where `base` is NaN, it counts as 0. Nothing is subtracted where
        ``g`` is 0 or less, or not finite. Whatever ``g`` is, the sample gets `sample_blank_flag` if the cell is masked,
        and loses it if not. Samples off the map or over cells without data stay as they are, and so do frames that are
        not valid. Other flags of a sample do not matter. Every frame uses its own index for all channels.

        Parameters
        ----------
        frame_data : ndarray of float32 or float64, shape (n_frames, n_channels)
            Signal; changed in place.
        frame_valid : array_like of bool, shape (n_frames,)
            Frames that may be used.
        frame_gains : array_like, shape (n_frames,)
            Gain of each frame.
        channel_indices : array_like of int, shape (n_listed,)
            The listed channels, each once: the k-th has map k, or map ``pixels[k]``.
        map_indices : array_like of int, shape (2, n_frames, 1) or (2, n_frames, n_channels)
            Map index (x, y) of each frame, or of each sample.
        source_gains, sync_gains : array_like, shape (n_channels,)
            Gain of each channel to the source now, and in the round before.
        sample_flags : ndarray of int, shape (n_frames, n_channels)
            Flags; changed in place.
        sample_blank_flag : int
            Flag of the samples over masked cells.
        pixels : array_like of int, shape (n_listed,), optional
            Maps of the listed channels; by default all of them in order.
        n_threads : int, optional
            Number of threads; by default one for each core. The result does not depend on it.

        Raises
        ------
        DataError
            If an array to be changed is read-only, or shares its memory with the other one or with itself, or maps
            hold sums.
        ShapeError, DtypeError, ParameterError
            If the arrays do not fit together. Nothing was changed then.
        """
        data, flags = as_changeable(frame_data, sample_flags)
        bits = as_bits(sample_blank_flag, "sample_blank_flag")
        check_bits(bits, flags, "sample_blank_flag")
        if self._base is not None and np.may_share_memory(data, self._base):
            msg = "`frame_data` is the memory of `base`, which is subtracted; give a copy"
            raise DataError(msg)
        changed = (data, flags)
        arguments: SyncArguments = {
            "frame_valid": apart(as_mask(frame_valid, "frame_valid"), changed),
            "frame_gains": apart(as_double(frame_gains, "frame_gains", ndim=1), changed),
            "channel_indices": apart(as_indices(channel_indices, "channel_indices", ndim=1), changed),
            "map_indices": apart(as_indices(map_indices, "map_indices", ndim=3), changed),
            "source_gains": apart(as_double(source_gains, "source_gains", ndim=1), changed),
            "sync_gains": apart(as_double(sync_gains, "sync_gains", ndim=1), changed),
            "sample_blank_flag": bits,
        }
        rows = as_rows(pixels, self.n_pixels)
        with in_place(data, flags) as (own_data, own_flags):
            self._native.sync(own_data, own_flags, arguments, self._base, pixels=rows, n_threads=as_threads(n_threads))

    def set_base(self, *, pixels: npt.ArrayLike | None = None) -> None:
        """Make the maps, as they are now, the prior maps of the next round; cells without data have no prior.

        Parameters
        ----------
        pixels : array_like of int, optional
            Maps whose prior is set; by default all.

        Raises
        ------
        ParameterError
            If there is no such map.
        DataError
            If a map holds sums. Nothing was changed then.
        """
        rows = as_rows(pixels, self.n_pixels)
        content = self.content
        chosen = list(range(self.n_pixels)) if rows is None else rows
        for row in chosen:
            if content[row] == "sums":
                msg = f"map {row} holds sums, not means; call `end_accumulation` first"
                raise DataError(msg)
        base = self.base
        check_writeable(base)
        for row in chosen:
            weight, data = self._weight[row], self._data[row]
            is_valid = (weight > 0) & (weight < np.inf) & ((self._flag[row] & 1) == 0)
            base[row] = np.where(is_valid, data, np.nan)
