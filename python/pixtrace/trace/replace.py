"""Two uses of a model on an image: bad pixels replaced by it, and the source taken away."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.trace.companions import usable_flux
from pixtrace.trace.extract import as_fitted, extract_planes
from pixtrace.trace.image import DO_NOT_USE, FLUX_ESTIMATED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pixtrace.trace.image import DqPlane, FloatPlane, SpectralImage
    from pixtrace.trace.model import TraceModel
    from pixtrace.trace.result import FittedImage

__all__ = ["ChangedImage", "replace_bad_pixels", "subtract_source"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ChangedImage:
    """The planes of an image after something was done to some of its pixels; the others are untouched, bit for bit.

    Attributes
    ----------
    name : str
        Name of the image.
    flux : ndarray, shape (n_y, n_x)
        Flux, in the unit and precision of the image.
    error : ndarray, shape (n_y, n_x), or None
        Its error; None if the image has none.
    dq : ndarray of uint32, shape (n_y, n_x), or None
        Data quality; None if the image has none and nothing is to be marked.
    variances : mapping of str to ndarray
        Variances by name.
    source : ndarray, shape (n_y, n_x), or None
        What was taken off the flux, NaN where nothing was; None if nothing was to be.
    n_changed : int
        Number of pixels whose flux changed.
    n_left : int
        Number of pixels that were to be replaced and were not, because there is no model.
    has_record : bool
        Whether the errors hold those of the splines.
    """

    name: str
    flux: FloatPlane
    error: FloatPlane | None
    dq: DqPlane | None
    variances: Mapping[str, FloatPlane] = field(default_factory=dict)
    source: FloatPlane | None = None
    n_changed: int
    n_left: int = 0
    has_record: bool

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"<ChangedImage{name}: {self.n_changed} pixels changed, {self.n_left} left>"


def replace_bad_pixels(
    image: SpectralImage, fitted: FittedImage | TraceModel, *, n_threads: int | None = None
) -> ChangedImage:
    """Replace the bad pixels of an image by its model.

    Parameters
    ----------
    image : SpectralImage
        The image. Bad are pixels of a region whose flux is not finite, or that are DO_NOT_USE.
    fitted : FittedImage or TraceModel
        Its model, as for `pixtrace.trace.extract`.
    n_threads : int, optional
        Number of threads; the result does not depend on it.

    Returns
    -------
    ChangedImage
        The planes. A bad pixel with a model (within its bounds) has the flux of the model, scale times spline, and the
        model's error; in its data quality FLUX_ESTIMATED stands in the place of DO_NOT_USE, and the other bits tell
        still why it was bad. Variances are those of the model where its record knows of them, and otherwise as they
        were. Where there is no model nothing is invented.

    Raises
    ------
    ParameterError, DataError
        See `pixtrace.trace.extract`; DataError also if the record of the fit is one of other data.

    Notes
    -----
    The error of the model is that of spline and scale, propagated from the errors of the pixels of the window, where
    the fit has left a record (``errors="propagated"``, or the robust method). Otherwise, also for models of other
    exposures, it is that of the scale alone, and so a lower limit; `ChangedImage.has_record` tells which.
    """
    fitted = as_fitted(image, fitted)
    bad = (image.region_map > 0) & ~np.isfinite(usable_flux(image))
    rows, columns = np.nonzero(bad)
    found = fitted.model.evaluate(
        image.alpha[rows, columns],
        image.region_map[rows, columns],
        columns,
        image=_shifted(image, fitted),
        n_threads=n_threads,
    )
    known = np.isfinite(found.flux)
    if found.variance is not None:
        known &= found.variance > 0
    at = rows[known], columns[known]
    flux = image.flux.copy()
    flux[at] = found.flux[known] + fitted.offset
    error = None if image.error is None else image.error.copy()
    if error is not None and found.variance is not None:
        error[at] = np.sqrt(found.variance[known])
    dq = np.zeros(image.shape, dtype=np.uint32) if image.dq is None else image.dq.copy()
    dq[at] = dq[at] & ~np.uint32(DO_NOT_USE) | np.uint32(FLUX_ESTIMATED)
    variances = dict(image.variances)
    for name, variance in found.variances.items():
        variances[name] = variances[name].copy()
        variances[name][at] = variance[known]
    n_changed = int(np.count_nonzero(known))
    return ChangedImage(
        name=image.name,
        flux=flux,
        error=error,
        dq=None if image.dq is None and not n_changed else dq,
        variances=variances,
        n_changed=n_changed,
        n_left=int(rows.size) - n_changed,
        has_record=fitted.model.has_record,
    )


def subtract_source(
    image: SpectralImage,
    fitted: FittedImage | TraceModel,
    *,
    source: tuple[float, float] | None = None,
    profile_errors: bool | None = None,
    reject_outliers: bool = True,
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> ChangedImage:
    """Take the source off an image, to see what is underneath.

    Parameters
    ----------
    image : SpectralImage
        The image.
    fitted : FittedImage or TraceModel
        Its model.
    source, profile_errors, reject_outliers, n_threads, progress : optional
        See `pixtrace.trace.extract`. With `source`, the profile less its level beyond is taken off within these alphas,
        in every column as bright as the extraction finds it; diffuse light stays. Without, the whole model is taken
        off: what is left is the residual.

    Returns
    -------
    ChangedImage
        Flux less source, with `ChangedImage.source`. Data quality and variances by component are those of the image,
        and bad pixels stay bad.

    Raises
    ------
    ParameterError, DataError
        See `pixtrace.trace.extract`.

    Notes
    -----
    The error is that of the difference of two numbers that are not independent, because the source is made of the same
    pixels: ``var(D - S) = var D + var S - 2 cov(D, S)``, worked out to first order. Where the whole model is taken off
    it is a little smaller than the error of the pixel, since a fit takes some of the noise with it. Where the model has
    no record the profile counts as known exactly.
    """
    fitted = as_fitted(image, fitted)
    _, (taken, variance), has_profile = extract_planes(
        image,
        fitted,
        source=source,
        profile_errors=profile_errors,
        reject_outliers=reject_outliers,
        planes=True,
        n_threads=n_threads,
        progress=progress,
    )
    known = np.isfinite(taken)
    flux = image.flux.copy()
    np.subtract(flux, taken, out=flux, where=known)
    error = None if image.error is None else image.error.copy()
    if error is not None:
        told = known & (variance > 0)
        error[told] = np.sqrt(variance[told])
    return ChangedImage(
        name=image.name,
        flux=flux,
        error=error,
        dq=image.dq,
        variances=image.variances,
        source=taken,
        n_changed=int(np.count_nonzero(known & np.isfinite(image.flux))),
        has_record=has_profile,
    )


def _shifted(image: SpectralImage, fitted: FittedImage) -> SpectralImage:
    """Return an image as it was fitted: its negative mean taken off."""
    if not fitted.offset:
        return image
    return replace(image, flux=image.flux - image.flux.dtype.type(fitted.offset))
