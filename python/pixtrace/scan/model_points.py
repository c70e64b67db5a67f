"""Samples into maps and out of them again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._arrays import as_double, as_real
from pixtrace.exceptions import DataError, ParameterError
from pixtrace.scan import access
from pixtrace.scan._units import as_seconds
from pixtrace.scan.configuration import setting
from pixtrace.scan.integration import Dependents
from pixtrace.scan.model_geometry import ModelGeometry
from pixtrace.scan.samples import get_delta_sync_parms

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = ["ModelPoints"]


class ModelPoints(ModelGeometry):
    """Adding, merging and subtracting; see `PixelMap`."""

    def add_integration(self, integration: Any, signal_mode: Any = None) -> int:
        """Add the frames of an integration to the maps of all channels without flags.

        Parameters
        ----------
        integration : Integration
            Frames and channels.
        signal_mode : object, optional
            The signal mode of the reference.

        Returns
        -------
        int
            The number of frames that were added.
        """
        frames, channels = integration.frames, integration.channels
        if not access.is_looked_up(frames, self.grid):
            self.create_lookup(integration)
        frame_gains = integration.gain * np.asarray(frames.get_source_gain(signal_mode), dtype=np.float64)
        source_gains = self._source_gains(channels, filter_corrected=integration.source_generation == 0)
        pixels = channels.get_mapping_pixels(keep_flag=0)
        n_frames = self.add_points(frames, pixels, frame_gains, source_gains)
        instrument = self.info.instrument
        seconds = n_frames * as_seconds(instrument.integration_time, "integration_time")
        self.add_integration_time(seconds)
        for number in access.channel_columns(pixels)[0].tolist():
            self.need_block().notes[number].integration_time += seconds
        return n_frames

    def _source_gains(self, channels: Any, *, filter_corrected: bool) -> npt.NDArray[np.float64]:
        if setting(self.configuration, "source.fixedgains") and hasattr(channels, "sourceless_flags"):
            try:
                gains = channels.get_source_gains(filter_corrected=filter_corrected, fixed=True)
            except TypeError:  # the reference knows by itself whether gains are fixed
                gains = channels.get_source_gains(filter_corrected=filter_corrected)
        else:
            gains = channels.get_source_gains(filter_corrected=filter_corrected)
        return np.asarray(gains, dtype=np.float64)

    def add_points(self, frames: Any, pixels: Any, frame_gains: npt.ArrayLike, source_gains: npt.ArrayLike) -> int:
        """Add the samples of channels to their maps, straight from the timestreams.

        Pixels that have no map get one.

        Parameters
        ----------
        frames : Frames
            The frames; each goes to its own cell, `frames.map_index`, in the maps of all channels.
        pixels : ChannelGroup
            The channels.
        frame_gains : array_like, shape (n_frames,)
            Gains of the frames; frames with a gain of zero or NaN are left out.
        source_gains : array_like, shape (n_all_channels,)
            Gains of all channels, not only of those in the group, to the source; likewise.

        Returns
        -------
        int
            The number of frames that can be mapped, and so were added as far as they lie on the map.

        Raises
        ------
        DataError
            If there is no grid, or nobody has looked up the cells.
        ShapeError, DtypeError
            If the arrays do not fit each other.
        """
        gains = as_double(frame_gains, "frame_gains", ndim=1), as_double(source_gains, "source_gains", ndim=1)
        fixed, columns = access.channel_columns(pixels)
        if np.unique(fixed).size != fixed.size:
            msg = "a pixel is in the group more than once; every pixel has one map and can be added once"
            raise ParameterError(msg)
        dt = access.sampling_interval(pixels)
        indices = access.map_indices(frames, self.grid)
        rows = self.add_maps(fixed.tolist())
        self._note_couplings(fixed, access.table_of(pixels).coupling)
        self._fits = None
        return int(
            self.need_block().stack.add_points(
                frames.data,
                gains[0],
                np.asarray(frames.relative_weight, dtype=np.float64),
                gains[1],
                np.asarray(access.table_of(pixels).variance, dtype=np.float64),
                access.usable_frames(frames),
                indices,
                columns,
                frames.sample_flag,
                access.exclude_flag(frames),
                dt,
                map_positions=access.map_positions(frames),
                n_threads=self.n_threads,
                pixels=rows,
            )
        )

    def _check_other(self, other: object) -> ModelPoints:
        if not isinstance(other, ModelPoints):
            msg = f"cannot combine with a {type(other).__name__}; expected a PixelMap"
            raise ParameterError(msg)
        if self.block is None and other.block is not None:
            self.set_grid(other.block.grid)
        if other.block is not None:
            self.need_block().check_grid(other.block)
        return other

    def _combine(self, other: ModelPoints) -> tuple[list[int], Any] | None:
        """Return the places of the other's maps among ours, which are added if missing, and the other's stack."""
        if other.block is None or len(other.block) == 0:
            return None
        rows = self.add_maps(other.block.fixed_indices)
        self._note_couplings(list(other.map_coupling), list(other.map_coupling.values()))
        self._fits = None
        block = self.need_block()
        for number in other.block.fixed_indices:
            block.notes[number].integration_time += other.block.notes[number].integration_time
        stack = other.block.stack
        return rows, stack.select(list(range(len(other.block)))) if other.block is block else stack

    def merge_accumulate(self, other: Any) -> None:
        """Add the samples in the maps of another to these; maps that only one of them has are kept.

        Parameters
        ----------
        other : PixelMap
            Maps on the same grid.

        Raises
        ------
        ParameterError
            If it is not a PixelMap.
        DataError
            If its grid is another.
        """
        found = self._combine(self._check_other(other))
        if found is not None:
            rows, stack = found
            self.need_block().stack.merge_accumulate(stack, pixels=rows, n_threads=self.n_threads)
        self.integration_time += other.integration_time

    def add_model_data(self, other: Any, weight: float = 1.0) -> None:
        """Add the maps of another, with a weight, to these, which then hold sums again; the other stays as it is.

        Parameters
        ----------
        other : PixelMap
            Maps on the same grid.
        weight : float, optional
            Its weights count times this.

        Raises
        ------
        ParameterError
            If it is not a PixelMap, or the weight is negative or not finite.
        DataError
            If its grid is another.
        """
        weight = as_real(weight, "weight")
        if not 0 <= weight < math.inf:
            msg = f"`weight` = {weight}; it must be a number from 0 on"
            raise ParameterError(msg)
        found = self._combine(self._check_other(other))
        if found is not None:
            rows, stack = found
            self.need_block().stack.add_model_data(stack, weight, pixels=rows, n_threads=self.n_threads)

    def add_model(self, source_model: Any, weight: float = 1.0) -> None:
        """Add another model with all it knows: maps, generation, integration time, switches.

        Parameters
        ----------
        source_model : PixelMap
            Maps on the same grid.
        weight : float, optional
            Its weights count times this.
        """
        self.add_model_data(source_model, weight=weight)
        self.generation = max(self.generation, source_model.generation)
        self.integration_time += source_model.integration_time
        for name in ("enable_level", "enable_weighting", "enable_bias"):
            setattr(self, name, getattr(self, name) and getattr(source_model, name))

    def set_base(self) -> None:
        """Keep a copy of each map as the one of the round before."""
        if self.block is not None and len(self.block):
            self.block.end_accumulation()
            self.block.stack.set_base()

    def sync(self) -> None:
        """Subtract the source from the signals of all scans, and keep the maps as those of the round before."""
        points = self.count_points()
        for scan in self.scans:
            for integration in scan.integrations:
                self.sync_integration(integration)
                integration.source_generation += 1
            scan.source_points = float(points)
        self.next_generation()
        self.set_base()

    def sync_integration(self, integration: Any, signal_mode: Any = None) -> None:
        """Subtract the source, or its change since the last time, from the signals of an integration.

        Channels without a map are left alone. The degrees of freedom that the source took go to the dependents
        "source" of the integration, and the source gains to its `source_sync_gain`.

        Parameters
        ----------
        integration : Integration
            Frames and channels; signals and sample flags are changed.
        signal_mode : object, optional
            The signal mode of the reference.
        """
        frames, channels = integration.frames, integration.channels
        if not access.is_looked_up(frames, self.grid):
            self.create_lookup(integration)
        frame_gains = integration.gain * np.asarray(frames.get_source_gain(signal_mode), dtype=np.float64)
        source_gains = self._source_gains(channels, filter_corrected=False)
        pixels = channels.get_mapping_pixels(discard_flag=channels.sourceless_flags)
        self.sync_source_gains(frames, pixels, frame_gains, source_gains, integration.source_sync_gain)
        self._set_dependents(integration, pixels, source_gains, signal_mode)
        integration.source_sync_gain = source_gains.copy()

    def _set_dependents(self, integration: Any, pixels: Any, source_gains: Any, signal_mode: Any) -> None:
        if not hasattr(integration, "dependents"):
            return
        frames = integration.frames
        table = access.table_of(pixels)
        n_points = min(float(self.count_points()), float(integration.scan.source_points)) / self.covariant_points()
        _, columns = access.channel_columns(pixels)
        frame_dp, channel_dp = get_delta_sync_parms(
            channel_source_gains=source_gains,
            channel_indices=columns,
            channel_flags=np.asarray(table.flag),
            channel_variance=np.asarray(table.variance, dtype=np.float64),
            frame_weight=np.asarray(frames.relative_weight, dtype=np.float64),
            frame_source_gains=np.asarray(frames.get_source_gain(signal_mode), dtype=np.float64),
            frame_valid=np.asarray(frames.valid, dtype=bool),
            frame_flags=np.asarray(frames.flag),
            source_flag=access.source_flags(frames),
            n_points=n_points,
        )
        by_channel = np.zeros(len(integration.source_sync_gain))
        by_channel[columns] = channel_dp
        integration.dependents["source"] = Dependents(np.asarray(frame_dp), by_channel)

    def sync_source_gains(
        self,
        frames: Any,
        pixels: Any,
        frame_gains: npt.ArrayLike,
        source_gains: npt.ArrayLike,
        sync_gains: npt.ArrayLike,
    ) -> None:
        """Subtract the maps from the signals, and flag samples where they are masked.

        From the sample of channel c in frame f goes ``frame_gain[f] * (source_gain[c] * map - sync_gain[c] * base)``,
        of the cell under the frame in the channel's own map. Channels without a map are left alone.

        Parameters
        ----------
        frames : Frames
            The frames; `data` and `sample_flag` are changed in place.
        pixels : Channels or ChannelGroup
            The channels.
        frame_gains : array_like, shape (n_frames,)
            Gains of the frames; where they are not positive, nothing is subtracted.
        source_gains : array_like, shape (n_all_channels,)
            Gains to the source of all channels.
        sync_gains : array_like, shape (n_all_channels,)
            The same at the time of the last subtraction; 0 if there was none.
        """
        block = self.need_block()
        fixed, columns = access.channel_columns(pixels)
        mapped = np.array([int(number) in block.notes for number in fixed], dtype=bool)
        if not mapped.any():
            return
        rows = block.rows(fixed[mapped].tolist())
        block.end_accumulation(rows)
        block.stack.sync(
            frames.data,
            np.asarray(frames.valid, dtype=bool),
            frame_gains,
            columns[mapped],
            access.map_indices(frames, self.grid),
            source_gains,
            sync_gains,
            frames.sample_flag,
            access.blank_flag(frames),
            pixels=rows,
            n_threads=self.n_threads,
        )

    def calculate_coupling(
        self, integration: Any, pixels: Any, source_gains: npt.ArrayLike, sync_gains: npt.ArrayLike
    ) -> None:
        """Do nothing: couplings of pixel maps come from `calculate_pixel_data`."""

    def add_scans(self, scans: Sequence[Any] | None = None) -> int:
        """Add all integrations of scans, by default those of the model, and return the number of frames added."""
        chosen = self.scans if scans is None else scans
        if not chosen:
            msg = "there are no scans to add; call `create_from` first"
            raise DataError(msg)
        return sum(self.add_integration(integration) for scan in chosen for integration in scan.integrations)
