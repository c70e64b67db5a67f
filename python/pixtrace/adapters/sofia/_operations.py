"""The operations of pixel maps on one scan, by one implementation: how long each takes, and what comes out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pixtrace.adapters.sofia._peer import peer_module

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Values = npt.NDArray[Any]

__all__ = ["STEPS", "Outcome", "Scan"]

#: What is timed, in order.
STEPS: Final = ("add", "merge", "process", "sync", "fit")
_PLANES: Final = ("data", "weight", "exposure", "flag")
_TIMESTREAMS: Final = ("signal", "sample flag")


@dataclass
class Outcome:
    """What the operations of one implementation took and gave.

    Attributes
    ----------
    seconds : dict of str to float
        By step.
    values : dict of (str, str) to dict of int to ndarray
        By step and name of the array, then by pixel.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    values: dict[tuple[str, str], dict[int, Values]] = field(default_factory=dict)

    def timed(self, step: str, call: Callable[[], object]) -> None:
        """Do something, and note how long it took."""
        start = time.perf_counter()
        call()
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start

    def keep(self, step: str, values: dict[str, dict[int, Values]]) -> None:
        """Keep copies of arrays."""
        for name, by_pixel in values.items():
            self.values[step, name] = {pixel: np.array(found) for pixel, found in by_pixel.items()}


class Scan:
    """A scan that sofia_redux has read, on which operations can be run again and again.

    Parameters
    ----------
    reduction : sofia_redux.scan.reduction.reduction.Reduction
        Holds the scan, and has been validated.
    """

    def __init__(self, reduction: Any) -> None:  # noqa: ANN401 - sofia_redux comes without types
        self.reduction = reduction
        self.scan = reduction.scans[0]
        self._before = [
            (integration, integration.frames.data.copy(), integration.frames.sample_flag.copy())
            for integration in self.scan.integrations
        ]
        channels = self.scan.channels.data
        self._channels = channels.position.coordinates.copy(), channels.coupling.copy()

    def restore(self) -> None:
        """Let the scan be as it was read."""
        self._restore_signals()
        for integration in self.scan.integrations:
            # A lookup for one cell in a frame, of an earlier model, is not what sofia_redux can write into.
            integration.frames.map_index = integration.frames.source_index = None
        channels = self.scan.channels.data
        channels.position.coordinates[...], channels.coupling[...] = self._channels

    def _restore_signals(self) -> None:
        for integration, signal, flags in self._before:
            integration.frames.data[...] = signal
            integration.frames.sample_flag[...] = flags

    def run(self, kind: Any, *, keep: bool, by_kernel: bool = False) -> Outcome:  # noqa: ANN401
        """Run all operations with new models; the scan is as it was afterwards.

        Parameters
        ----------
        kind : type
            The class of the models.
        keep : bool
            Whether to keep what comes out.
        by_kernel : bool, optional
            Whether, besides, the source is subtracted once more by the kernel of sofia_redux alone, and that is kept
            under "sync"; what its method gives is found under "sync as it is" then.

        Returns
        -------
        Outcome
            Times, and arrays if they are kept.
        """
        outcome = Outcome()
        try:
            model, other = self._model(kind), self._model(kind)
            for integration in self.scan.integrations:
                outcome.timed("add", lambda integration=integration: model.add_integration(integration))  # type: ignore[misc]
                other.add_integration(integration)
            self._keep_planes(outcome, "add", model, keep=keep)
            outcome.timed("merge", lambda: model.merge_accumulate(other))
            self._keep_planes(outcome, "merge", model, keep=keep)
            outcome.timed("process", model.process)
            self._keep_planes(outcome, "process", model, keep=keep)
            for integration in self.scan.integrations:
                arguments = _sync_arguments(integration)
                outcome.timed("sync", lambda arguments=arguments: model.sync_source_gains(*arguments))  # type: ignore[misc]
            if keep:
                outcome.keep("sync", self._signals())
            if by_kernel:
                outcome.values |= {("sync as it is", name): outcome.values["sync", name] for name in _TIMESTREAMS}
                self._restore_signals()
                for integration in self.scan.integrations:
                    _sync_by_kernel(model, integration)
                outcome.keep("sync", self._signals())
            self._fit(outcome, model, keep=keep)
        finally:
            self.restore()
        return outcome

    def _model(self, kind: Any) -> Any:  # noqa: ANN401
        for integration in self.scan.integrations:
            integration.frames.map_index = integration.frames.source_index = None
        model = kind(self.reduction.info, reduction=self.reduction)
        model.create_from([self.scan], assign_scans=False)
        return model

    @staticmethod
    def _keep_planes(outcome: Outcome, step: str, model: Any, *, keep: bool) -> None:  # noqa: ANN401
        if keep:
            maps = {int(number): found.map for number, found in model.pixel_maps.items()}
            planes = {
                number: (found.data, found.weight.data, found.exposure.data, found.flag)
                for number, found in maps.items()
            }
            outcome.keep(step, {name: {n: of[i] for n, of in planes.items()} for i, name in enumerate(_PLANES)})

    def _signals(self) -> dict[str, dict[int, Values]]:
        """Return signals and sample flags by pixel."""
        found: dict[str, dict[int, Values]] = {name: {} for name in _TIMESTREAMS}
        for integration in self.scan.integrations:
            frames, channels = integration.frames, integration.channels
            for column in channels.get_mapping_pixels(keep_flag=0).indices:
                pixel = int(channels.data.fixed_index[column])
                for name, array in zip(_TIMESTREAMS, (frames.data, frames.sample_flag), strict=True):
                    before = found[name].get(pixel)
                    values = array[:, column]
                    found[name][pixel] = values if before is None else np.concatenate((before, values))
        return found

    def _fit(self, outcome: Outcome, model: Any, *, keep: bool) -> None:  # noqa: ANN401
        channels = self.scan.channels.data
        channels.position.coordinates[...] = np.nan * self._channels[0]  # to see which ones are measured
        channels.coupling[...] = 1.0
        outcome.timed("fit", model.calculate_pixel_data)
        if not keep:
            return
        x, y = channels.position.coordinates.to_value("arcsec")
        coupling = np.where(np.isfinite(x), channels.coupling, np.nan)
        rows = {int(number): i for i, number in enumerate(channels.fixed_index) if int(number) in model.pixel_maps}
        named = {"x": x, "y": y, "coupling": coupling}
        outcome.keep(
            "fit",
            {name: {n: values[i : i + 1] for n, i in rows.items()} for name, values in named.items()},
        )


def _sync_arguments(integration: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """Return what both are told of a subtraction: the gains of all frames and channels are one."""
    channels, frames = integration.channels, integration.frames
    gains = np.ones(channels.size)
    return frames, channels.get_mapping_pixels(keep_flag=0), np.ones(frames.size), gains, 0.0 * gains


def _sync_by_kernel(model: Any, integration: Any) -> None:  # noqa: ANN401
    """Subtract the source with the kernel of sofia_redux, given the cell under each frame.

    `sync_source_gains` of 1.5.2 hands its kernel the cells of the frames as if there were as many for each channel, and
    the kernel reads those of other frames; what comes out of that says nothing about the kernel.
    """
    kernel = peer_module("sofia_redux.scan.source_models.source_numba_functions").sync_map_samples
    blank = peer_module("sofia_redux.scan.flags.frame_flags").FrameFlags.flags.SAMPLE_SOURCE_BLANK.value
    frames, pixels, frame_gains, gains, sync_gains = _sync_arguments(integration)
    own = np.asarray(frames.map_index.coordinates)
    cells = np.ascontiguousarray(np.broadcast_to(own, (2, frames.size, integration.channels.size)))
    for column in pixels.indices:
        found = model.pixel_maps[int(integration.channels.data.fixed_index[column])]
        kernel(
            frame_data=frames.data,
            frame_valid=frames.valid,
            frame_gains=frame_gains,
            channel_indices=np.array([column]),
            map_values=found.map.data,
            map_valid=found.map.valid,
            map_masked=found.is_masked(),
            map_indices=cells,
            base_values=found.base.data,
            base_valid=found.base.valid,
            source_gains=gains,
            sync_gains=sync_gains,
            sample_flags=frames.sample_flag,
            sample_blank_flag=blank,
        )
