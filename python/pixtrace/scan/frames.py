"""The readouts of a camera: signals, where it pointed, and what is wrong with them."""

from __future__ import annotations

import copy as copying
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._arrays import FloatArray, as_double, as_floating, check_shape
from pixtrace.exceptions import DataError, DtypeError, ParameterError
from pixtrace.scan._gates import as_mask
from pixtrace.scan._units import arcsec, as_degrees, as_positions, plain
from pixtrace.scan.flags import FrameFlag, SampleFlag
from pixtrace.scan.signals import Chunk, Signals

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from pixtrace.scan.projection import MapGrid

__all__ = ["Frames"]

_ELSEWHERE = (
    "the signals of these frames are not in memory, they are read by the piece; `Reduction.reduce` can do that, for "
    "anything else make the scan with `to_scan(in_memory=True)`"
)
_SAMPLES = 1 << 22  # flags that are looked at together
_PER_FRAME = ("flag", "valid", "relative_weight", "sign", "transmission", "cos_a", "sin_a", "time", "mjd")


class Frames:
    """The frames of one integration: all channels, read out one moment after the other.

    Parameters
    ----------
    data : array_like, shape (n_frames, n_channels), or Signals
        Signals, float32 or float64. NaN: no sample. `Signals` are read by the piece, and never stay in memory.
    offset : Quantity or array_like, shape (2, n_frames)
        Where the boresight looked, x and y from the source in the telescope's own (native) system [arcsec]. Frames
        where it is not finite are not valid.
    time : Quantity or array_like, shape (n_frames,), optional
        Times of the frames, from any beginning [s].
    mjd : array_like, shape (n_frames,), optional
        Modified Julian dates of the frames [days].
    angle : Quantity or array_like, optional
        Angle from the focal plane to the native system, one or one for each frame [degrees]; 0 by default.
    flag : array_like of int, shape (n_frames,), optional
        `FrameFlag` bits.
    sample_flag : array_like of int, shape (n_frames, n_channels), optional
        `SampleFlag` bits.
    valid : array_like of bool, shape (n_frames,), optional
        Whether there is anything in the frame that can be used at all.
    relative_weight, sign, transmission : array_like, optional
        Of the frames, one or one for each; 1 by default.
    copy : bool, optional
        Copy data and sample flags. Without, they are used as they are if their kind allows, and what changes signals
        (`PixelMap.sync`) changes the caller's arrays.

    Attributes
    ----------
    flag : ndarray of int32, shape (n_frames,)
    valid : ndarray of bool, shape (n_frames,)
    relative_weight, sign, transmission, cos_a, sin_a : ndarray of float64, shape (n_frames,)
    time, mjd : ndarray of float64, shape (n_frames,), or None
    map_index : ndarray of int64, shape (2, n_frames, 1), or None
        The cell (x, y) under each frame, (-1, -1) outside of the map; `PixelMap.create_lookup` sets it.
    map_position : ndarray of float64, shape (2, n_frames), or None
        The same before rounding.
    source_index : ndarray of int64, shape (n_frames, 1), or None
        The cell as one number, -1 outside of the map.
    map_grid : MapGrid or None
        The grid that these cells are of; None: that of whoever looked them up is not known.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the arrays do not fit each other or do not hold the right kind of numbers.
    """

    flagspace = FrameFlag
    sample_flagspace = SampleFlag

    def __init__(
        self,
        data: npt.ArrayLike | Signals,
        offset: Any,
        *,
        time: Any = None,
        mjd: npt.ArrayLike | None = None,
        angle: Any = 0.0,
        flag: npt.ArrayLike | None = None,
        sample_flag: npt.ArrayLike | None = None,
        valid: npt.ArrayLike | None = None,
        relative_weight: npt.ArrayLike = 1.0,
        sign: npt.ArrayLike = 1.0,
        transmission: npt.ArrayLike = 1.0,
        copy: bool = True,
    ) -> None:
        self._signals: Signals | None = data if isinstance(data, Signals) else None
        self._data: FloatArray | None = None
        if self._signals is None:
            given: Any = data
            array = as_floating(given, "data", ndim=2)
            self._data = array.copy() if copy and np.shares_memory(array, given) else array
            self._shape: tuple[int, int] = (array.shape[0], array.shape[1])
        else:
            self._shape = self._signals.shape
        n_frames = self._shape[0]
        self._offset = as_positions(offset, "offset").copy()
        check_shape(self._offset, (2, n_frames), "offset", "data")
        self.time = None if time is None else self._per_frame(plain(time, "s", "time"), "time")
        self.mjd = None if mjd is None else self._per_frame(mjd, "mjd")
        self.flag: npt.NDArray[np.int32] = np.zeros(n_frames, dtype=np.int32)
        if flag is not None:
            self.flag[...] = self._bits(flag, "flag", (n_frames,), np.iinfo(np.int32).max)
        self._sample_flag = self._sample_flags(sample_flag, copy=copy)
        self.valid: npt.NDArray[np.bool_] = np.asarray(np.isfinite(self._offset).all(axis=0))
        if valid is not None:
            usable = as_mask(valid, "valid")
            check_shape(usable, (n_frames,), "valid", "data")
            self.valid &= usable
        self.relative_weight = self._per_frame(relative_weight, "relative_weight")
        self.sign = self._per_frame(sign, "sign")
        self.transmission = self._per_frame(transmission, "transmission")
        self.cos_a, self.sin_a = np.ones(n_frames), np.zeros(n_frames)
        self.set_rotation(angle)
        self.map_index: npt.NDArray[np.int64] | None = None
        self.map_position: npt.NDArray[np.float64] | None = None
        self.source_index: npt.NDArray[np.int64] | None = None
        self.map_grid: MapGrid | None = None

    def _per_frame(self, values: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
        array = as_double(values, name, ndim=None)
        n_frames = self._shape[0]
        array = np.broadcast_to(array, (n_frames,)) if array.ndim == 0 else array
        check_shape(array, (n_frames,), name, "data")
        return array.copy()

    @staticmethod
    def _bits(values: npt.ArrayLike, name: str, shape: tuple[int, ...], most: int) -> npt.NDArray[Any]:
        array = np.asarray(values)
        if array.dtype.kind not in "iub":
            msg = f"`{name}` has dtype {array.dtype}; expected whole numbers, bits that can be combined"
            raise DtypeError(msg)
        check_shape(array, shape, name, "data")
        if array.size and (int(array.max()) > most or int(array.min()) < 0):
            msg = f"`{name}` runs from {array.min()} to {array.max()}; its bits go from 0 to {most}"
            raise ParameterError(msg)
        return array

    def _sample_flags(self, values: npt.ArrayLike | None, *, copy: bool) -> npt.NDArray[np.uint8] | None:
        if self._signals is not None:
            if values is None:
                return None
            msg = "`sample_flag` is given for signals that are read by the piece; they bring their own flags"
            raise ParameterError(msg)
        if values is None:
            return np.zeros(self._shape, dtype=np.uint8)
        array = self._bits(values, "sample_flag", self._shape, np.iinfo(np.uint8).max)
        return array.astype(np.uint8, copy=copy)

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"<Frames: {self.size} of {self._shape[1]} channels, {int(self.valid.sum())} valid>"

    @property
    def size(self) -> int:
        """Number of frames."""
        return self._shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of frames, and of channels."""
        return self._shape

    @property
    def is_in_memory(self) -> bool:
        """Whether there are `data`; else the signals are read by the piece."""
        return self._data is not None

    @property
    def data(self) -> FloatArray:
        """Signals, float32 or float64, shape (n_frames, n_channels).

        Raises
        ------
        DataError
            If they are not in memory.
        """
        if self._data is None:
            raise DataError(_ELSEWHERE)
        return self._data

    @data.setter
    def data(self, data: FloatArray) -> None:
        self._data = data
        self._shape = (data.shape[0], data.shape[1])

    @property
    def sample_flag(self) -> npt.NDArray[np.uint8]:
        """`SampleFlag` bits, shape (n_frames, n_channels).

        Raises
        ------
        DataError
            If the signals are not in memory.
        """
        if self._sample_flag is None:
            raise DataError(_ELSEWHERE)
        return self._sample_flag

    @sample_flag.setter
    def sample_flag(self, sample_flag: npt.NDArray[np.uint8]) -> None:
        self._sample_flag = sample_flag

    def read_chunks(self, n_frames: int) -> Iterator[Chunk]:
        """Yield all signals from the first frame to the last, in memory or not.

        Parameters
        ----------
        n_frames : int
            Most frames of a chunk.

        Yields
        ------
        Chunk
            Signals and flags of some frames, views where they are in memory.
        """
        if self._signals is not None and self._data is None:
            yield from self._signals.read_chunks(n_frames)
            return
        for start in range(0, self.size, n_frames):
            rows = slice(start, start + n_frames)
            yield Chunk(start, self.data[rows], self.sample_flag[rows])

    def has_samples(self) -> npt.NDArray[np.bool_]:
        """Tell which frames are valid and have a sample that is not to be skipped, shape (n_frames,)."""
        mapped = self.valid.copy()
        if self._sample_flag is not None:
            step = max(1, _SAMPLES // max(self._shape[1], 1))
            for start in range(0, self.size, step):
                rows = slice(start, start + step)
                mapped[rows] &= ~(self._sample_flag[rows] & np.uint8(SampleFlag.SKIP)).all(axis=1)
        return mapped

    def skip(self, which: npt.NDArray[np.bool_]) -> None:
        """Keep frames out of everything.

        Parameters
        ----------
        which : ndarray of bool, shape (n_frames,)
            These frames are no longer valid, and their samples are flagged `SampleFlag.SKIP`.
        """
        if self._sample_flag is not None:
            self._sample_flag[which] |= np.uint8(SampleFlag.SKIP)
        self.valid &= ~which

    @property
    def offset(self) -> Any:
        """Where the boresight looked in the native system: a quantity of shape (2, n_frames) [arcsec]."""
        return arcsec(self._offset)

    def set_rotation(self, angle: Any) -> None:
        """Set the angle from the focal plane to the native system.

        Parameters
        ----------
        angle : Quantity or array_like
            One, or one for each frame [degrees].
        """
        radians = np.deg2rad(self._per_frame(as_degrees(angle, "angle"), "angle"))
        self.cos_a, self.sin_a = np.cos(radians), np.sin(radians)
        self.valid &= np.isfinite(radians)

    def get_focal_plane_offset(self) -> Any:
        """Return where the boresight looked, on the focal plane: a quantity of shape (2, n_frames) [arcsec]."""
        x, y = self._offset
        return arcsec(np.stack([x * self.cos_a + y * self.sin_a, y * self.cos_a - x * self.sin_a]))

    def with_pointing(self, x: float, y: float) -> Frames:
        """Return the frames as if the boresight had looked elsewhere; everything but offsets is shared.

        Parameters
        ----------
        x, y : float
            Added to where it looked, on the focal plane [arcsec].

        Returns
        -------
        Frames
            Frames whose cells nobody has looked up yet.
        """
        other = copying.copy(self)
        turned = np.stack([x * self.cos_a - y * self.sin_a, x * self.sin_a + y * self.cos_a])
        other._offset = self._offset + turned  # noqa: SLF001 - of the same class
        other.map_index = other.map_position = other.source_index = other.map_grid = None
        return other

    def stretch(self, rows: slice, data: FloatArray, sample_flag: npt.NDArray[np.uint8]) -> Frames:
        """Return some consecutive frames with signals of their own.

        Parameters
        ----------
        rows : slice
            Which frames.
        data : ndarray, shape (n, n_channels)
            Their signals, of any channels, used as they are.
        sample_flag : ndarray of uint8, shape (n, n_channels)
            Their flags, likewise.

        Returns
        -------
        Frames
            Copies of what is known of the frames, the cells under them too.
        """
        other = copying.copy(self)
        other._signals = None  # noqa: SLF001 - of the same class
        other.data, other.sample_flag = data, sample_flag
        other._offset = self._offset[:, rows]  # noqa: SLF001
        for name in _PER_FRAME:
            values = getattr(self, name)
            setattr(other, name, None if values is None else values[rows].copy())
        if self.map_index is not None:
            other.map_index = self.map_index[:, rows]
        if self.map_position is not None:
            other.map_position = self.map_position[:, rows]
        if self.source_index is not None:
            other.source_index = self.source_index[rows]
        return other

    def get_source_gain(self, mode: object = None) -> npt.NDArray[np.float64]:
        """Return sign times transmission, what a source is multiplied with in each frame.

        Parameters
        ----------
        mode : object, optional
            The signal mode of the reference; pixel maps know total power only, and take no notice.

        Returns
        -------
        ndarray of float64, shape (n_frames,)
        """
        del mode
        return self.sign * self.transmission

    def is_unflagged(self, flag: int | None = None) -> npt.NDArray[np.bool_]:
        """Tell which frames have none of these `FrameFlag` bits, or none at all."""
        bits = self.flag if flag is None else self.flag & int(flag)
        return np.equal(bits, 0)
