"""A scan: one observation of one source with one camera."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._arrays import as_double, check_shape
from pixtrace.exceptions import DataError, ParameterError
from pixtrace.scan._gates import as_mask
from pixtrace.scan._units import plain
from pixtrace.scan.channels import Channels
from pixtrace.scan.frames import Frames
from pixtrace.scan.info import Info
from pixtrace.scan.integration import Integration
from pixtrace.scan.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    import numpy.typing as npt

    from pixtrace.scan.configuration import Configuration
    from pixtrace.scan.pixel_map import PixelMap

__all__ = ["Scan"]


class Scan:
    """One observation of one source: integrations that share a table of channels.

    `Scan.from_arrays` makes one of plain arrays.

    Parameters
    ----------
    channels : Channels
        The channels. Positions and couplings that are measured are written here.
    info : Info, optional
        The instrument and its options; by default those of the channels.
    scan_id : str, optional
        Its name, in headers and file names.
    object_name : str, optional
        Name of the source.
    mjd : float, optional
        Modified Julian date of the beginning; NaN if not known.
    is_nonsidereal : bool, optional
        Whether the source moves on the sky, as planets do. Offsets are from the source all the same.

    Attributes
    ----------
    integrations : list of Integration
    weight : float
        Weight of the scan among others; `PixelMap.process_scan` sets it.
    source_points : float
        Independent points in the model of the source that was subtracted last.
    source_model : PixelMap or None
        The maps that the scan is in.
    """

    def __init__(
        self,
        channels: Channels,
        info: Info | None = None,
        *,
        scan_id: str = "scan",
        object_name: str = "source",
        mjd: float = math.nan,
        is_nonsidereal: bool = False,
    ) -> None:
        self.info: Info = info or channels.info or Info()
        self.channels = channels
        channels.info = self.info
        self.scan_id = scan_id
        self.object_name = object_name
        self.mjd = float(mjd)
        self.is_nonsidereal = is_nonsidereal
        self.integrations: list[Integration] = []
        self.weight = 1.0
        self.source_points = 0.0
        self.source_model: PixelMap | None = None

    @classmethod
    def from_arrays(
        cls,
        data: npt.ArrayLike | Signals,
        time: Any,
        offset: Any,
        channels: Channels | None = None,
        *,
        info: Info | None = None,
        scan_id: str = "scan",
        object_name: str = "source",
        is_nonsidereal: bool = False,
        mjd: float = math.nan,
        gain: float | None = None,
        **frames: Any,
    ) -> Self:
        """Make a scan of arrays.

        Parameters
        ----------
        data : array_like, shape (n_frames, n_channels), or Signals
            Signals, float32 or float64. NaN: no sample. `pixtrace.scan.signals.Signals` are read by the piece.
        time : Quantity or array_like, shape (n_frames,), or None
            Times of the frames, from any beginning, ascending [s]. Where the info does not know the sampling interval,
            it becomes the median step. None, if it does.
        offset : Quantity or array_like, shape (2, n_frames)
            Where the boresight looked, x and y from the source in the telescope's own (native) system [arcsec].
        channels : Channels, optional
            The channels, one for each column of `data`; by default numbered from 0, of equal gain and variance.
        info : Info, optional
            The instrument and its options; by default those of the channels.
        scan_id, object_name : str, optional
            Names, for headers and files.
        is_nonsidereal : bool, optional
            Whether the source moves on the sky.
        mjd : float, optional
            Modified Julian date of time zero [days].
        gain : float, optional
            Of all signals; -1 if a source lowers them. By default that of the instrument.
        **frames
            Further arguments of `Frames`: `angle, flag, sample_flag, valid, relative_weight, sign, transmission, copy`.

        Returns
        -------
        Scan
            With one integration; `add_arrays` appends more.

        Raises
        ------
        ShapeError, DtypeError, ParameterError
            If arrays do not fit each other or do not hold the right kind of numbers.
        DataError
            If times do not ascend.
        """
        if channels is None:
            shape = data.shape if isinstance(data, Signals) else np.shape(data)
            channels = Channels(np.arange(shape[1] if len(shape) == 2 else 0))  # noqa: PLR2004
        scan = cls(channels, info, scan_id=scan_id, object_name=object_name, mjd=mjd, is_nonsidereal=is_nonsidereal)
        scan.add_arrays(data, time, offset, gain=gain, **frames)
        return scan

    def add_arrays(
        self,
        data: npt.ArrayLike | Signals,
        time: Any,
        offset: Any,
        *,
        gain: float | None = None,
        **frames: Any,
    ) -> Integration:
        """Append an integration made of arrays; for the arguments see `from_arrays`.

        Parameters
        ----------
        data, time, offset : array_like, or Signals
            Signals, times and boresight offsets.
        gain : float, optional
            Of all signals.
        **frames
            Further arguments of `Frames`.

        Returns
        -------
        Integration
            The new integration.
        """
        instrument = self.info.instrument
        if time is None:
            if math.isnan(instrument.sampling_interval):
                msg = "neither `time` nor the sampling interval of the instrument is given; one of them is needed"
                raise ParameterError(msg)
        else:
            time = as_double(plain(time, "s", "time"), "time", ndim=1)
            interval = _sampling_interval(time)
            if math.isnan(instrument.sampling_interval) and not math.isnan(interval):
                instrument.sampling_interval = interval
                if math.isnan(instrument.integration_time):
                    instrument.integration_time = interval
            valid = frames.get("valid")
            usable = np.ones(time.size, dtype=bool) if valid is None else as_mask(valid, "valid")
            check_shape(usable, time.shape, "valid", "time")
            frames["valid"] = usable & np.isfinite(time)
            if "mjd" not in frames and not math.isnan(self.mjd):
                frames["mjd"] = self.mjd + time / 86400.0
        integration = Integration(self, Frames(data, offset, time=time, **frames), gain=gain)
        self.integrations.append(integration)
        return integration

    def __len__(self) -> int:
        return len(self.integrations)

    def __iter__(self) -> Iterator[Integration]:
        return iter(self.integrations)

    def __getitem__(self, number: int) -> Integration:
        return self.integrations[number]

    def __repr__(self) -> str:
        return f"<Scan {self.scan_id} of {self.object_name}: {len(self)} integrations, {self.channels.size} channels>"

    @property
    def configuration(self) -> Configuration:
        """The options."""
        return self.info.configuration

    @property
    def source_name(self) -> str:
        """Name of the source."""
        return self.object_name

    def get_id(self) -> str:
        """Return its name."""
        return self.scan_id

    def set_source_model(self, source_model: PixelMap | None) -> None:
        """Set the maps that the scan is in."""
        self.source_model = source_model


def _sampling_interval(time: npt.NDArray[np.float64]) -> float:
    """Return the median step, NaN if there is none."""
    known = time[np.isfinite(time)]
    steps = np.diff(known)
    if steps.size == 0:
        return math.nan
    if steps.min() < 0:
        frame = int(np.flatnonzero(np.isfinite(time))[int(np.argmin(steps)) + 1])
        msg = f"`time` falls by {-steps.min():g} s at frame {frame}; times must ascend"
        raise DataError(msg)
    return float(np.median(steps)) or math.nan
