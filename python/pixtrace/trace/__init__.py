"""Trace models of slit and integral-field spectra: fit them, evaluate them, oversample with them.

Arrays are oriented with the spatial axis y along axis 0 and the dispersion axis x along axis 1; `alpha` is the
coordinate along the slice, and `region_map` holds the number of the slice or slit of each pixel, 0 between them.
NaN marks missing data.

Two ways in: `fit_all_regions` and its kin work on plain arrays, one job each; `oversample_image` takes a
`SpectralImage` with all its planes through the whole job, with the parameters of a `TraceParams` preset.
"""

from pixtrace.trace.bspline import BSpline
from pixtrace.trace.dithers import DitherFit, DitherGroup, fit_dithers
from pixtrace.trace.evaluate import EvaluatedModel
from pixtrace.trace.exposure import FittedImage, OversampledImage, oversample_image
from pixtrace.trace.extract import Extraction, extract
from pixtrace.trace.fit import fit_2d_spline_trace, fit_all_regions
from pixtrace.trace.fitting import apply_model, fit_image
from pixtrace.trace.image import SpectralImage
from pixtrace.trace.model import ColumnTrace, RegionTrace, TraceModel
from pixtrace.trace.oversample import OversampledFlux, TraceImage, linear_oversample, oversample_flux, trace_image
from pixtrace.trace.params import PRESETS, TraceParams
from pixtrace.trace.quality import PullStatistics, RegionQuality, TraceQuality
from pixtrace.trace.record import RegionRecord
from pixtrace.trace.replace import ChangedImage, replace_bad_pixels, subtract_source
from pixtrace.trace.result import TraceSummary
from pixtrace.trace.robust import OversampledErrors, fit_robust, oversample_with_errors
from pixtrace.trace.series import RegionSeries, TimeSeriesModel, fit_time_series
from pixtrace.trace.series_cube import Cube, SeriesChunk, SpectralSeries
from pixtrace.trace.series_oversample import OversampledChunk, oversample_cube
from pixtrace.trace.spectrum import ExtractedSpectrum
from pixtrace.trace.wiggle import point_spectrum, profile_peak, smooth_continuum, wiggle_rms

__all__ = [
    "PRESETS",
    "BSpline",
    "ChangedImage",
    "ColumnTrace",
    "Cube",
    "DitherFit",
    "DitherGroup",
    "EvaluatedModel",
    "ExtractedSpectrum",
    "Extraction",
    "FittedImage",
    "OversampledChunk",
    "OversampledErrors",
    "OversampledFlux",
    "OversampledImage",
    "PullStatistics",
    "RegionQuality",
    "RegionRecord",
    "RegionSeries",
    "RegionTrace",
    "SeriesChunk",
    "SpectralImage",
    "SpectralSeries",
    "TimeSeriesModel",
    "TraceImage",
    "TraceModel",
    "TraceParams",
    "TraceQuality",
    "TraceSummary",
    "apply_model",
    "extract",
    "fit_2d_spline_trace",
    "fit_all_regions",
    "fit_dithers",
    "fit_image",
    "fit_robust",
    "fit_time_series",
    "linear_oversample",
    "oversample_cube",
    "oversample_flux",
    "oversample_image",
    "oversample_with_errors",
    "point_spectrum",
    "profile_peak",
    "replace_bad_pixels",
    "smooth_continuum",
    "subtract_source",
    "trace_image",
    "wiggle_rms",
]
