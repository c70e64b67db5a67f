"""What is known of an instrument: a handful of constants, and the options that go with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pixtrace._arrays import as_real
from pixtrace.exceptions import ParameterError
from pixtrace.scan._units import as_arcsec, as_seconds
from pixtrace.scan.configuration import Configuration

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Info", "Instrument"]


@dataclass
class Instrument:
    """Constants of a camera.

    Attributes
    ----------
    name : str, optional
        For headers and file names.
    sampling_interval : float or Quantity, optional
        Time from frame to frame [s]; NaN: not known yet.
    integration_time : float or Quantity, optional
        Time that one frame collects light [s]; the sampling interval where it is not given.
    resolution : float or Quantity, optional
        FWHM of the beam [arcsec]; NaN: not known yet.
    jansky_per_beam : float, optional
        Janskys for each unit of the data; pixel maps of several scans are brought to the first one's.
    data_unit : str, optional
        Unit of the data, for headers.
    gain : float, optional
        Of the readout as a whole; -1 if a source lowers the signal.

    Raises
    ------
    ParameterError
        If a time, the beam or `jansky_per_beam` is not positive, or the gain is 0 or not a number.
    """

    name: str = "camera"
    sampling_interval: float = math.nan
    integration_time: float = math.nan
    resolution: float = math.nan
    jansky_per_beam: float = 1.0
    data_unit: str = "counts"
    gain: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers, and take units off."""
        self.sampling_interval = as_seconds(self.sampling_interval, "sampling_interval")
        self.integration_time = as_seconds(self.integration_time, "integration_time")
        self.resolution = as_arcsec(self.resolution, "resolution")
        for name in ("sampling_interval", "integration_time", "resolution", "jansky_per_beam"):
            value: float = getattr(self, name)
            if value <= 0 or math.isinf(value):
                msg = f"`{name}` = {value}; it must be a positive number"
                raise ParameterError(msg)
        self.gain = as_real(self.gain, "gain")
        if self.gain == 0 or not math.isfinite(self.gain):
            msg = f"`gain` = {self.gain}; it must be a number other than 0"
            raise ParameterError(msg)
        if math.isnan(self.integration_time):
            self.integration_time = self.sampling_interval

    def get_point_size(self) -> float:
        """Return the FWHM of a point source [arcsec]."""
        return self.resolution


class Info:
    """An instrument with the options of a reduction.

    Parameters
    ----------
    instrument : Instrument, optional
        Constants of the camera.
    configuration : Configuration or mapping, optional
        Options, by their dotted names.
    header : mapping, optional
        What else is known of the observation, for the headers of products: keyword to value.

    Attributes
    ----------
    instrument : Instrument
    configuration : Configuration
    header : dict
    """

    def __init__(
        self,
        instrument: Instrument | None = None,
        configuration: Configuration | Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> None:
        self.instrument = Instrument() if instrument is None else instrument
        if not isinstance(configuration, Configuration):
            configuration = Configuration(configuration)
        self.configuration = configuration
        self.header: dict[str, Any] = dict(header or {})

    def __repr__(self) -> str:
        return f"<Info: {self.instrument.name}>"

    @property
    def sampling_interval(self) -> float:
        """Time from frame to frame [s]."""
        return self.instrument.sampling_interval

    @property
    def resolution(self) -> float:
        """FWHM of the beam [arcsec]."""
        return self.instrument.resolution

    @property
    def jansky_per_beam(self) -> float:
        """Janskys for each unit of the data."""
        return self.instrument.jansky_per_beam

    def copy(self) -> Info:
        """Return an info of its own: constants and options can be changed without changing these."""
        from dataclasses import replace

        return Info(replace(self.instrument), self.configuration.copy(), self.header)
