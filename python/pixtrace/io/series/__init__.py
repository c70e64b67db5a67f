"""Files with time series, read and written some integrations at a time."""

from pixtrace.io.series.run import SeriesFile, SeriesResult, open_series, oversample_series
from pixtrace.io.series.table import light_curves, write_light_curves, write_scales

__all__ = [
    "SeriesFile",
    "SeriesResult",
    "light_curves",
    "open_series",
    "oversample_series",
    "write_light_curves",
    "write_scales",
]
