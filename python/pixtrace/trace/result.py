"""What comes out of the pipeline: the fitted model of an image, the oversampled image, and a count of what was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.trace.companions import usable_flux
from pixtrace.trace.refusal import why_refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pixtrace.trace.image import DqPlane, FloatPlane, LabelPlane, SpectralImage
    from pixtrace.trace.model import TraceModel
    from pixtrace.trace.params import TraceParams
    from pixtrace.trace.thresholds import Thresholds

__all__ = ["FittedImage", "OversampledImage", "TraceSummary", "summarise"]


@dataclass(frozen=True, kw_only=True)
class TraceSummary:
    """What was done to an image.

    Attributes
    ----------
    n_regions : int
        Slices or slits in the image.
    n_regions_fitted : int
        Those with at least one column that has a spline.
    n_columns_fitted : int
        Columns with a spline of their own.
    n_columns_reused : int
        Columns that fell back on the spline of another one.
    n_columns_skipped : int
        Columns of the fitted regions without a spline.
    n_pixels_filled : int
        Oversampled pixels whose flux was missing and was taken from the model (FLUX_ESTIMATED).
    seconds : float
        Time taken.
    refused : str
        Where no region was fitted, why the first one was not; "" otherwise, and where it is not known.
    """

    n_regions: int
    n_regions_fitted: int
    n_columns_fitted: int
    n_columns_reused: int
    n_columns_skipped: int
    n_pixels_filled: int
    seconds: float
    refused: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedImage:
    """The trace model of an image, and how its flux was prepared for the fit.

    Attributes
    ----------
    model : TraceModel
        The splines by region and column.
    offset : float
        Negative mean of the flux that was taken off before the fit, 0 if the mean was not negative.
    thresholds : Thresholds
        Levels that a region had to pass to be fitted.
    seconds : float
        Time taken by the fit.
    """

    model: TraceModel
    offset: float
    thresholds: Thresholds
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class OversampledImage:
    """An oversampled image, or for factor 1 an image and its trace; oriented as the `SpectralImage` it came from.

    With (m_y, n_x) = (ceil(n_y * factor), n_x). In flux, error and variances NaN stands exactly where `dq` has
    DO_NOT_USE. For factor 1 these and `dq` are the planes of the input.

    Attributes
    ----------
    name : str
        Name of the image.
    factor : float
        Oversampling factor.
    params : TraceParams
        The parameters used.
    flux : ndarray, shape (m_y, n_x)
        Flux in the unit and precision of the input.
    error : ndarray of float32, shape (m_y, n_x), or None
        Its error, None if the input has none.
    dq : ndarray of uint32, shape (m_y, n_x)
        Data quality of the nearest native pixel; FLUX_ESTIMATED in the place of DO_NOT_USE where the model filled in.
    region_map : ndarray of int32, shape (m_y, n_x)
        Region of the nearest native pixel.
    alpha : ndarray of float64, shape (m_y, n_x)
        Coordinate along the slice at which the splines were evaluated.
    wavelength : ndarray of float64, shape (m_y, n_x), or None
        Wavelength, None if the input has none.
    variances : mapping of str to ndarray of float32
        Variances by name.
    covariances : tuple of ndarray of float32
        Covariance of each pixel with the one 1, 2, ... rows further on, if errors were propagated and they were wanted.
    trace_used : ndarray, shape (m_y, n_x)
        The spline model where it was used, in the unit of the flux; NaN elsewhere.
    full_trace : ndarray, shape (m_y, n_x), or None
        The spline model everywhere. Unless intermediate results were asked for, None; so are the next two.
    linear_flux : ndarray, shape (m_y, n_x), or None
        Flux interpolated linearly. None for factor 1.
    residual_flux : ndarray, shape (m_y, n_x), or None
        Flux minus model, interpolated linearly. None for factor 1.
    model : TraceModel
        The splines.
    summary : TraceSummary
        What was done.
    offset : float
        Negative mean of the flux that was taken off before the fit, 0 if the mean was not negative. `flux` and the
        traces have it again; the splines of `model` do not.
    """

    name: str
    factor: float
    params: TraceParams
    flux: FloatPlane
    error: FloatPlane | None
    dq: DqPlane
    region_map: LabelPlane
    alpha: npt.NDArray[np.float64]
    wavelength: npt.NDArray[np.float64] | None = None
    variances: Mapping[str, FloatPlane] = field(default_factory=dict)
    covariances: tuple[FloatPlane, ...] = ()
    trace_used: FloatPlane
    full_trace: FloatPlane | None = None
    linear_flux: FloatPlane | None = None
    residual_flux: FloatPlane | None = None
    model: TraceModel
    summary: TraceSummary
    offset: float = 0.0

    def __repr__(self) -> str:
        n_y, n_x = self.flux.shape
        name = f" {self.name!r}" if self.name else ""
        return f"<OversampledImage{name}: x {self.factor:g}, {n_y} x {n_x} pixels, {self.flux.dtype}; {self.model!r}>"


def summarise(
    image: SpectralImage, fitted: FittedImage, n_filled: int, seconds: float, *, params: TraceParams
) -> TraceSummary:
    """Return the count of what was done to an image.

    Parameters
    ----------
    image : SpectralImage
        The image.
    fitted : FittedImage
        Its model.
    n_filled : int
        Number of pixels that the model filled.
    seconds : float
        Time taken after the fit.
    params : TraceParams
        How it was fitted.

    Returns
    -------
    TraceSummary
        The count, with the time of the fit added.
    """
    model = fitted.model
    used = [region for region, trace in model.items() if len(trace)]
    n_columns = sum(len(model[region]) for region in used)
    return TraceSummary(
        n_regions=len(image.regions),
        n_regions_fitted=len(used),
        n_columns_fitted=model.n_fits,
        n_columns_reused=n_columns - model.n_fits,
        n_columns_skipped=_columns_of(image.region_map, used) - n_columns,
        n_pixels_filled=n_filled,
        seconds=fitted.seconds + seconds,
        refused="" if used else _why_none(image, fitted, params),
    )


def _why_none(image: SpectralImage, fitted: FittedImage, params: TraceParams) -> str:
    """Return why the first region that the model has was not fitted."""
    region = next(iter(fitted.model), None)
    if region is None:
        return ""
    rows = np.flatnonzero((image.region_map == region).any(axis=1))
    band = slice(int(rows[0]), int(rows[-1]) + 1)
    return f"{region}: {why_refused(image, usable_flux(image), fitted.offset, params, region, band)}"


def _columns_of(region_map: LabelPlane, regions: list[int]) -> int:
    """Return the number of columns that the regions reach over, a column counted once per region."""
    if not regions:
        return 0
    wanted = np.array(sorted(regions), dtype=region_map.dtype)
    index = np.searchsorted(wanted, region_map)
    index[index == wanted.size] = 0
    present = np.zeros((wanted.size, region_map.shape[1]), dtype=bool)
    row, column = np.nonzero(wanted[index] == region_map)
    present[index[row, column], column] = True
    return int(np.count_nonzero(present))
