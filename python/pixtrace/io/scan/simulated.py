"""Simulated scans as streams, to be written in any format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pixtrace.io.scan.raw import DataChunk, ScanStream
from pixtrace.io.scan.tables import ChannelTable, ScanFacts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

__all__ = ["SimulatedScanLike", "stream_simulated"]


class SimulatedScanLike(Protocol):
    """What is needed of `pixtrace.simulate.ScanSimulator`, which this room does not know."""

    @property
    def params(self) -> Any:  # noqa: ANN401 - of another room
        """`pixtrace.simulate.ScanParams`."""
        ...

    @property
    def array(self) -> Any:  # noqa: ANN401 - of another room
        """`pixtrace.simulate.DetectorArray`."""
        ...

    time: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]

    @property
    def rotation(self) -> npt.NDArray[np.float64]:
        """Angle of the array [deg]."""
        ...

    @property
    def vpa(self) -> npt.NDArray[np.float64]:
        """Angle of the telescope [deg]."""
        ...

    def chunks(self, n_frames: int = ...) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Yield first frames and data."""
        ...


def stream_simulated(simulator: SimulatedScanLike, *, instrument: str = "simulator", band: str = "") -> ScanStream:
    """Return a simulated scan as a stream; nothing in it tells the truth about the pixels.

    Parameters
    ----------
    simulator : ScanSimulator
        The simulation; its data are made when they are read, in pieces of at least 1024 frames.
    instrument, band : str, optional
        What to call the camera.

    Returns
    -------
    ScanStream
        The scan. Its source raises the signal.
    """
    params, array = simulator.params, simulator.array

    def chunks(most: int) -> Iterator[DataChunk]:
        for start, data in simulator.chunks(most):
            for first in range(0, len(data), most):
                yield DataChunk(start + first, data[first : first + most])

    channels = ChannelTable.make(array.channel, array.nominal_position, row=array.row, column=array.column)
    facts = ScanFacts(
        instrument=instrument,
        band=band,
        scan_id=f"sim-{params.seed}",
        object_name=params.name,
        date=str(np.datetime64(round(float(simulator.time[0]) * 1e3), "ms")),
        sampling_interval=1.0 / params.rate,
        resolution=params.source.fwhm,
        pixel_size=array.pitch,
        is_nonsidereal=any(params.source.sky_motion),
        ra=params.ra,
        dec=params.dec,
    )
    return ScanStream.from_arrays(
        chunks,
        simulator.time,
        simulator.offset,
        angle=simulator.rotation,
        sky_angle=simulator.vpa,
        channels=channels,
        facts=facts,
    )
