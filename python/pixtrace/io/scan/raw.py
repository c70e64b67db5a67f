"""A scan as it comes from a file: what is known of it, and its data, whole or by the piece.

Whatever the format, a file is opened as a `ScanStream`: everything but the timestreams is in memory and has been
checked, and `ScanStream.chunks` reads the timestreams a few frames at a time. `ScanStream.read` reads all of them, and
`ScanStream.to_scan` makes a `pixtrace.scan.Scan`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pixtrace._arrays import as_count, as_floating, check_shape
from pixtrace.exceptions import ParameterError
from pixtrace.io.scan.columns import named
from pixtrace.io.scan.tables import ChannelTable, FrameTable, ScanFacts, with_interval
from pixtrace.scan.signals import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from pixtrace.scan import Scan

__all__ = ["DataChunk", "ScanStream"]

#: Samples of a chunk unless the caller says otherwise: 64 MB of float32.
_SAMPLES = 1 << 24


class DataChunk(NamedTuple):
    """The data of some consecutive frames.

    Attributes
    ----------
    start : int
        Number of the first frame.
    data : ndarray of float32, shape (n, n_channels)
        Signals, less a constant level of each channel; NaN where there is none.
    jumps : ndarray of int16, shape (n, n_channels), or None
        What the electronics counted as jumps of the level; None if nothing was counted.
    """

    start: int
    data: npt.NDArray[np.float32]
    jumps: npt.NDArray[np.int16] | None = None


class ScanStream:
    """A scan whose timestreams are read by the piece.

    Parameters
    ----------
    facts : ScanFacts
        What is known of it as a whole.
    channels : ChannelTable
        Its channels.
    frames : FrameTable
        Its frames.
    chunks : callable
        Takes the most frames that a chunk may have, and returns an iterator of chunks from frame 0 to the last.
    name : str, optional
        Name of the file, for messages.

    Attributes
    ----------
    facts : ScanFacts
    channels : ChannelTable
    frames : FrameTable
    name : str
    """

    def __init__(
        self,
        facts: ScanFacts,
        channels: ChannelTable,
        frames: FrameTable,
        chunks: Callable[[int], Iterator[DataChunk]],
        *,
        name: str = "",
    ) -> None:
        self.facts = facts
        self.channels = channels
        self.frames = frames
        self.name = name or facts.scan_id
        self._chunks = chunks

    @classmethod
    def from_arrays(
        cls,
        data: npt.ArrayLike | Callable[[int], Iterator[DataChunk]],
        time: npt.ArrayLike,
        offset: npt.ArrayLike,
        *,
        angle: npt.ArrayLike = 0.0,
        sky_angle: npt.ArrayLike = np.nan,
        valid: npt.ArrayLike | None = None,
        channels: ChannelTable | None = None,
        facts: ScanFacts | None = None,
    ) -> Self:
        """Make a stream of arrays in memory, or of a function that yields chunks.

        Parameters
        ----------
        data : array_like of float, shape (n_frames, n_channels), or callable
            The data, or what `ScanStream` takes as `chunks`; then `channels` is needed.
        time, offset, angle, sky_angle, valid : array_like
            As for `FrameTable.make`.
        channels : ChannelTable, optional
            The channels; by default numbered from 0, without positions.
        facts : ScanFacts, optional
            What else is known; the sampling interval comes from the times if it is NaN.

        Returns
        -------
        ScanStream
            The stream.

        Raises
        ------
        ShapeError, DtypeError, DataError
            The arrays do not fit each other or cannot be used.
        """
        frames = FrameTable.make(time, offset, angle=angle, sky_angle=sky_angle, valid=valid)
        given = facts or ScanFacts(instrument="camera")
        if callable(data):
            if channels is None:
                msg = "`channels` is needed for data that come by the piece"
                raise ParameterError(msg)
            return cls(with_interval(given, frames), channels, frames, data)
        array = as_floating(data, "data", dtype=np.float32).astype(np.float32, copy=False)
        channels = ChannelTable.make(np.arange(array.shape[1])) if channels is None else channels
        check_shape(array, (frames.n_frames, channels.n_channels), "data", "time and channels")

        def pieces(most: int) -> Iterator[DataChunk]:
            for start in range(0, array.shape[0], most):
                yield DataChunk(start, array[start : start + most])

        return cls(with_interval(given, frames), channels, frames, pieces)

    @property
    def n_frames(self) -> int:
        """Number of frames.

        Returns
        -------
        int
            Valid or not.
        """
        return self.frames.n_frames

    @property
    def n_channels(self) -> int:
        """Number of channels.

        Returns
        -------
        int
            Good and bad.
        """
        return self.channels.n_channels

    def chunks(self, n_frames: int | None = None) -> Iterator[DataChunk]:
        """Read the timestreams piece by piece, from the first frame to the last; as often as is wanted.

        Parameters
        ----------
        n_frames : int, optional
            Most frames of a piece; by default as many as make 64 MB.

        Returns
        -------
        iterator of DataChunk
            The pieces.

        Raises
        ------
        FileReadError
            The file cannot be read any more.
        ParameterError
            `n_frames` is not a whole number from 1 on.
        """
        most = max(1, _SAMPLES // max(self.n_channels, 1)) if n_frames is None else n_frames
        return self._chunks(as_count(most, "n_frames", least=1))

    def read(self) -> npt.NDArray[np.float32]:
        """Read all timestreams into memory.

        Returns
        -------
        ndarray of float32, shape (n_frames, n_channels)
            Signals, less a constant level of each channel; NaN where there is none.

        Raises
        ------
        FileReadError
            The file cannot be read any more.
        """
        data = np.empty((self.n_frames, self.n_channels), dtype=np.float32)
        for chunk in self.chunks(max(1, _SAMPLES // (8 * max(self.n_channels, 1)))):
            data[chunk.start : chunk.start + len(chunk.data)] = chunk.data
        return data

    def shifted(self, pointing_shift: float) -> ScanStream:
        """Return the scan with the boresight of another time; see `FrameTable.shifted`.

        Parameters
        ----------
        pointing_shift : float
            A frame at time t is given the boresight recorded at t + `pointing_shift` [s].

        Returns
        -------
        ScanStream
            The scan; its data are the same.
        """
        frames = named(self.name, lambda: self.frames.shifted(pointing_shift))
        return ScanStream(self.facts, self.channels, frames, self._chunks, name=self.name)

    def select(self, keep: npt.ArrayLike) -> ScanStream:
        """Return the scan with some of its channels.

        Parameters
        ----------
        keep : array_like of bool or int
            Which ones: a truth value for each, or their places.

        Returns
        -------
        ScanStream
            The scan. The file is read as before; what is not wanted does not stay in memory.
        """
        kept = np.asarray(keep)

        def chunks(most: int) -> Iterator[DataChunk]:
            for start, data, jumps in self._chunks(most):
                yield DataChunk(start, data[:, kept], None if jumps is None else jumps[:, kept])

        return ScanStream(self.facts, self.channels.select(kept), self.frames, chunks, name=self.name)

    def is_constant(self) -> npt.NDArray[np.bool_]:
        """Tell which channels never give another signal than their first: they were not read out, or are dead.

        Returns
        -------
        ndarray of bool, shape (n_channels,)
            True for channels that are constant or have no signal at all; it takes one pass over the data.
        """
        low, high = np.full(self.n_channels, np.inf), np.full(self.n_channels, -np.inf)
        for chunk in self.chunks():
            low, high = np.fmin(low, np.fmin.reduce(chunk.data)), np.fmax(high, np.fmax.reduce(chunk.data))
        return ~(high > low)

    def to_scan(self, options: Mapping[str, Any] | None = None, *, in_memory: bool = True) -> Scan:
        """Make a scan that pixel maps can be made of.

        Parameters
        ----------
        options : mapping, optional
            Options of the reduction, by their dotted names.
        in_memory : bool, optional
            Read the signals now. Else they are read piece by piece in each round of `Reduction.reduce`, which is all
            that can be done with such a scan, and never stay in memory.

        Returns
        -------
        Scan
            With one integration. Channels without nominal position stand at (0, 0); blind, dead and discarded ones are
            flagged; `groups` holds "group", the electronics they share.
        """
        from pixtrace.scan import ChannelFlag, Channels, Info, Instrument, Scan

        facts, table, frames = self.facts, self.channels, self.frames
        flags = {"": 0, "blind": ChannelFlag.BLIND, "dead": ChannelFlag.DEAD, "discarded": ChannelFlag.DISCARD}
        header = {"OBJECT": facts.object_name, "DATE-OBS": facts.date, "INSTRUME": facts.instrument} | facts.header
        info = Info(
            Instrument(
                name=facts.instrument,
                sampling_interval=facts.sampling_interval,
                resolution=facts.resolution,
                data_unit=facts.unit,
                gain=float(facts.sign),
            ),
            options,
            header,
        )
        channels = Channels(
            table.fixed_index,
            row=table.row,
            col=table.column,
            position=np.nan_to_num(table.position, nan=0.0),
            gain=table.gain,
            flag=np.array([int(flags[reason]) for reason in table.reason.tolist()], dtype=np.int64),
            groups={"group": table.group},
            info=info,
        )
        start = float(frames.time[0])
        return Scan.from_arrays(
            self.read() if in_memory else _Signals(self),
            frames.time - start,
            frames.offset,
            channels,
            info=info,
            scan_id=facts.scan_id,
            object_name=facts.object_name,
            is_nonsidereal=facts.is_nonsidereal,
            mjd=_mjd(start),
            angle=np.nan_to_num(frames.angle, nan=0.0),
            valid=frames.valid,
            copy=False,
        )


class _Signals:
    """The signals of a stream, as a reduction reads them.

    Parameters
    ----------
    stream : ScanStream
        The stream.
    """

    def __init__(self, stream: ScanStream) -> None:
        self._stream = stream

    @property
    def shape(self) -> tuple[int, int]:
        """Number of frames, and of channels."""
        return self._stream.n_frames, self._stream.n_channels

    def read_chunks(self, n_frames: int) -> Iterator[Chunk]:
        """Yield all signals, at most so many frames at a time."""
        for chunk in self._stream.chunks(n_frames):
            yield Chunk(chunk.start, chunk.data)


_UNIX_MJD = 40587.0
_FIRST_UNIX = 1e8  # seconds; smaller times count from the beginning of the scan


def _mjd(time: float) -> float:
    """Return the modified Julian date of a Unix time, NaN for times that count from elsewhere."""
    return _UNIX_MJD + time / 86_400.0 if time > _FIRST_UNIX else math.nan
