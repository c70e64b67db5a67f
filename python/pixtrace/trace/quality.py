"""How good the trace of an exposure is: which columns were fitted, how well, and how much its spectra wiggle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.trace.companions import usable_flux
from pixtrace.trace.oversample import trace_planes
from pixtrace.trace.record import ABSENCES, ORIGINS
from pixtrace.trace.refusal import good_pixels_needed, why_refused
from pixtrace.trace.wiggle import point_spectrum, profile_peak, wiggle_rms

if TYPE_CHECKING:
    from typing import Self

    import numpy.typing as npt

    from pixtrace.trace.image import FloatPlane, LabelPlane, SpectralImage
    from pixtrace.trace.model import RegionTrace
    from pixtrace.trace.record import RegionRecord
    from pixtrace.trace.result import OversampledImage

__all__ = ["PullStatistics", "RegionQuality", "SliceSpectrum", "TraceQuality", "slice_spectrum"]

_MAD = 1.4826
#: Residuals this many times their usual size are outliers, and take no part in the chi2 of a column.
_OUTLIER = 5.0


@dataclass(frozen=True)
class PullStatistics:
    """How residuals in units of their errors are distributed; of a unit normal in brackets.

    Attributes
    ----------
    n : int
        Number of residuals.
    bias : float
        Their median (0).
    width : float
        Half the range from the 15.87th to the 84.13th percentile (1): the standard deviation of their core.
    within_1, within_2 : float
        Share of them no larger than 1 (0.683) and 2 (0.954).
    """

    n: int
    bias: float
    width: float
    within_1: float
    within_2: float

    @classmethod
    def of(cls, pulls: npt.NDArray[np.floating]) -> Self:
        """Count.

        Parameters
        ----------
        pulls : ndarray of float
            Residuals in units of their errors; what is not finite is left out.

        Returns
        -------
        PullStatistics
            All but `n` NaN if nothing is finite.
        """
        values = pulls[np.isfinite(pulls)]
        if not values.size:
            return cls(0, math.nan, math.nan, math.nan, math.nan)
        low, middle, high = (float(value) for value in np.percentile(values, (15.866, 50.0, 84.134)))
        within_1, within_2 = (float(np.mean(np.abs(values) <= limit)) for limit in (1.0, 2.0))
        return cls(values.size, middle, 0.5 * (high - low), within_1, within_2)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RegionQuality:
    """The fits of one slice or slit; of arrays, element i belongs to column ``columns[i]``.

    Attributes
    ----------
    region : int
        Its number.
    columns : ndarray of int
        All columns that it reaches over, rising.
    state : ndarray of str
        Where the spline comes from, one of `pixtrace.trace.record.ORIGINS`; or why there is none, one of
        `pixtrace.trace.record.ABSENCES`; "" in all columns of a region that was not fitted.
    fitted_for : ndarray of int
        The column that the spline was fitted for, another one if it is reused; -1 without a spline.
    chi2 : ndarray of float64
        Reduced chi2 of the pixels of the column, without residuals five times as large as is usual in the region. NaN
        without a spline, and without errors.
    fit_chi2 : ndarray of float64
        Reduced chi2 that the fit of the spline has recorded, over the points of its window of columns; NaN without a
        record, and without errors.
    pulls : PullStatistics
        Distribution of the residuals of its pixels in units of their errors; nothing without errors.
    refused : str
        Why the region has no trace; "" if it has one.
    peak_alpha, peak : float
        Where the profile along the slice is highest, and how high, see `pixtrace.trace.profile_peak`.
    """

    region: int
    columns: npt.NDArray[np.int64]
    state: npt.NDArray[np.str_]
    fitted_for: npt.NDArray[np.int64]
    chi2: npt.NDArray[np.float64]
    fit_chi2: npt.NDArray[np.float64]
    pulls: PullStatistics
    refused: str
    peak_alpha: float
    peak: float

    def count(self, *states: str) -> int:
        """Return the number of columns in any of some states."""
        return int(np.isin(self.state, states).sum())

    @property
    def median_chi2(self) -> float:
        """Median of `chi2`, NaN if there is none."""
        return _median(self.chi2)

    @property
    def median_fit_chi2(self) -> float:
        """Median of `fit_chi2`, NaN if there is none."""
        return _median(self.fit_chi2)

    def __repr__(self) -> str:
        what = self.refused or f"{self.count(*ORIGINS)} of {self.columns.size} columns have a trace"
        return f"<RegionQuality of region {self.region}: {what}; median chi2 {self.median_chi2:.3g}>"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TraceQuality:
    """How good the trace of an image is.

    Attributes
    ----------
    regions : tuple of RegionQuality
        By rising number.
    residual : ndarray of float64, shape (n_y, n_x)
        Native pixels minus model, in units of the error of the pixel; without an error plane in units of a robust
        standard deviation of its region's residuals. NaN where there is no model or no data.
    is_compact : ndarray of bool, shape (n_y, n_x)
        Pixels where the model is used.
    has_errors : bool
        Whether the image has errors: else there is no chi2, and `residual` tells nothing of them.
    """

    regions: tuple[RegionQuality, ...]
    residual: npt.NDArray[np.float64]
    is_compact: npt.NDArray[np.bool_]
    has_errors: bool

    @classmethod
    def of(cls, image: SpectralImage, result: OversampledImage) -> TraceQuality:
        """Look at what was made of an image.

        Parameters
        ----------
        image : SpectralImage
            The image as it was.
        result : OversampledImage
            What became of it, by any factor, with any parameters.

        Returns
        -------
        TraceQuality
            Its quality. An image without regions has none, and NaN everywhere.
        """
        flux, model = usable_flux(image), result.model
        planes = trace_planes(
            model,
            image.region_map,
            image.alpha,
            slope_limit=result.params.oversample_kwargs()["slope_limit"],
            pad=result.params.pad,
            dtype=image.flux.dtype,
        )
        residual = np.where(np.isfinite(flux), flux - (planes.full_trace + np.float64(result.offset)), np.nan)
        if image.error is not None:
            known = image.error > 0.0
            residual = np.divide(residual, image.error, out=np.full_like(residual, np.nan), where=known)
        found: list[RegionQuality] = []
        for region in image.regions:
            inside = image.region_map == region
            rows = np.flatnonzero(inside.any(axis=1))
            band = slice(int(rows[0]), int(rows[-1]) + 1)
            record = model.record(region) if region in model else None
            own = np.where(inside[band], residual[band], np.nan)
            spread = _MAD * _median(np.abs(own))
            if image.error is None:
                residual[inside] /= spread if spread > 0.0 else 1.0
            found.append(
                _region(image, result, flux, region, inside[band], band, record, own, spread, model.get(region))
            )
        return cls(
            regions=tuple(found),
            residual=residual,
            is_compact=np.isfinite(planes.trace_used) & (image.region_map > 0),
            has_errors=image.error is not None,
        )

    @property
    def pulls(self) -> PullStatistics:
        """Distribution of the residuals in units of the errors, over all pixels with a model; empty without errors."""
        return PullStatistics.of(self.residual if self.has_errors else np.zeros(0))

    @property
    def median_chi2(self) -> float:
        """Median of the chi2 of all columns, NaN if there is none."""
        return _median(np.concatenate([np.zeros(0), *(region.chi2 for region in self.regions)]))

    @property
    def median_fit_chi2(self) -> float:
        """Median of the chi2 that the fits have recorded, NaN if there is none."""
        return _median(np.concatenate([np.zeros(0), *(region.fit_chi2 for region in self.regions)]))

    def brightest(self, most: int) -> list[RegionQuality]:
        """Return the regions with the highest profiles.

        Parameters
        ----------
        most : int
            So many of them at most.

        Returns
        -------
        list of RegionQuality
            Those with a trace before the others, the brightest first; none without data.
        """
        known = [region for region in self.regions if math.isfinite(region.peak)]
        return sorted(known, key=lambda region: (bool(region.refused), -region.peak, region.region))[:most]

    def __repr__(self) -> str:
        n_fitted = sum(not region.refused for region in self.regions)
        return f"<TraceQuality: {n_fitted} of {len(self.regions)} regions fitted; median chi2 {self.median_chi2:.3g}>"


@dataclass(frozen=True, kw_only=True, eq=False)
class SliceSpectrum:
    """The spectrum in the brightest row of a rectified slice.

    Attributes
    ----------
    region : int
        The slice.
    at : float
        Along-slice coordinate of the row.
    before, after : ndarray of float64, shape (n_x,)
        Spectrum from the native pixels and from the oversampled ones, per native pixel; NaN where there is no data, and
        all of `after` NaN for factor 1.
    noise_before, noise_after : float
        Median of the reported error over the flux along the row: how much of the rms is noise. NaN without errors.
    """

    region: int
    at: float
    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]
    noise_before: float
    noise_after: float

    @property
    def rms_before(self) -> float:
        """`pixtrace.trace.wiggle_rms` of `before`."""
        return wiggle_rms(self.before)

    @property
    def rms_after(self) -> float:
        """`pixtrace.trace.wiggle_rms` of `after`."""
        return wiggle_rms(self.after)


def slice_spectrum(image: SpectralImage, result: OversampledImage, region: RegionQuality) -> SliceSpectrum:
    """Return the spectrum of the brightest row of a slice, before and after oversampling.

    Parameters
    ----------
    image, result : SpectralImage, OversampledImage
        Before and after.
    region : RegionQuality
        The slice, from `TraceQuality.of` the same two.

    Returns
    -------
    SliceSpectrum
        The spectra; NaN if the slice has no data.
    """
    nothing = np.full(image.shape[1], np.nan)

    def row(plane: FloatPlane | None, alpha: npt.NDArray[np.float64], labels: LabelPlane) -> npt.NDArray[np.float64]:
        if plane is None or not math.isfinite(region.peak_alpha) or not (labels == region.region).any():
            return nothing
        return point_spectrum(plane, alpha, labels, region=region.region, at=region.peak_alpha)

    before = row(usable_flux(image), image.alpha, image.region_map)
    error = row(image.error, image.alpha, image.region_map)
    after = error_after = nothing
    if result.factor != 1.0:
        per_pixel = result.factor if image.flux_is_density else 1.0
        after = per_pixel * row(result.flux, result.alpha, result.region_map)
        error_after = per_pixel * row(result.error, result.alpha, result.region_map)
    return SliceSpectrum(
        region=region.region,
        at=region.peak_alpha,
        before=before,
        after=after,
        noise_before=_share(error, before),
        noise_after=_share(error_after, after),
    )


def _region(
    image: SpectralImage,
    result: OversampledImage,
    flux: FloatPlane,
    region: int,
    inside: npt.NDArray[np.bool_],
    band: slice,
    record: RegionRecord | None,
    residual: npt.NDArray[np.float64],
    spread: float,
    trace: RegionTrace | None,
) -> RegionQuality:
    """Return the quality of one region; `inside` and `residual` are cut to its rows."""
    columns = np.flatnonzero(inside.any(axis=0))
    labels: LabelPlane = image.region_map[band]
    at, peak = profile_peak(flux[band], image.alpha[band], labels, region=region)
    state = np.full(columns.shape, "", dtype=f"<U{max(map(len, (*ORIGINS, *ABSENCES)))}")
    fitted_for = np.full(columns.shape, -1, dtype=np.int64)
    chi2, fit_chi2 = np.full(columns.shape, np.nan), np.full(columns.shape, np.nan)
    refused = ""
    if trace is None:
        refused = "the model that was given does not have it"
    elif not trace:
        refused = why_refused(image, flux, result.offset, result.params, region, band)
    elif record is not None:
        place = np.searchsorted(columns, record.columns)
        state[place], fitted_for[place] = record.origin, record.fitted_for
        if image.error is not None:
            fit_chi2[place] = record.chi2
        for column, why in record.absent.items():
            state[np.searchsorted(columns, column)] = why
    else:
        state, fitted_for = _without_record(trace, columns, state, fitted_for)
        good = (np.isfinite(flux[band]) & np.isfinite(image.alpha[band]) & inside)[:, columns].sum(axis=0)
        needed = good_pixels_needed(image.alpha[band], inside, result.params)
        state[(state == "") & (good <= needed)] = ABSENCES[0]
        state[state == ""] = ABSENCES[1]
    if trace and image.error is not None:
        chi2 = _column_chi2(residual[:, columns], spread)
    return RegionQuality(
        region=region,
        columns=columns,
        state=state,
        fitted_for=fitted_for,
        chi2=chi2,
        fit_chi2=fit_chi2,
        pulls=PullStatistics.of(residual if image.error is not None else np.zeros(0)),
        refused=refused,
        peak_alpha=at,
        peak=peak,
    )


def _without_record(
    trace: RegionTrace,
    columns: npt.NDArray[np.int64],
    state: npt.NDArray[np.str_],
    fitted_for: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.int64]]:
    """Tell fitted and reused splines apart: of columns that share one, the first in order of fitting is its own."""
    owner: dict[int, int] = {}
    for column, spline in trace.models.items():
        first = owner.setdefault(id(spline), column)
        place = np.searchsorted(columns, column)
        state[place] = "fitted" if first == column else "reused"
        fitted_for[place] = first
    return state, fitted_for


def _column_chi2(residual: npt.NDArray[np.float64], spread: float) -> npt.NDArray[np.float64]:
    """Return the mean square of the residuals of each column, outliers left out, one lost to the scale."""
    used = np.isfinite(residual)
    if spread > 0.0:
        used &= np.abs(residual) <= _OUTLIER * spread
    n = used.sum(axis=0)
    total = np.where(used, residual, 0.0)
    chi2 = np.full(n.shape, np.nan)
    np.divide((total**2).sum(axis=0), n - 1, out=chi2, where=n > 1)
    return chi2


def _median(values: npt.NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan


def _share(error: npt.NDArray[np.float64], flux: npt.NDArray[np.float64]) -> float:
    """Return the median of error over flux, where the flux is positive."""
    return _median(np.divide(error, flux, out=np.full(flux.shape, np.nan), where=flux > 0.0))
