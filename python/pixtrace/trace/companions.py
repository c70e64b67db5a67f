"""What goes with an oversampled flux: errors, variances, data quality and region numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.trace.image import DO_NOT_USE, FLUX_ESTIMATED
from pixtrace.trace.oversample import linear_planes, nearest_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.trace.image import DqPlane, FloatPlane, LabelPlane, SpectralImage
    from pixtrace.trace.refine import PropagatedErrors

__all__ = ["Companions", "companions", "inflation", "native_dq", "usable_flux"]

#: Errors of oversampled pixels are inflated by ``0.23 factor + 0.77``, the covariance of neighbours being neglected.
_INFLATION_SLOPE, _INFLATION_OFFSET = 0.23, 0.77


@dataclass(frozen=True, kw_only=True, eq=False)
class Companions:
    """The planes that belong to an oversampled flux, all of its shape.

    Attributes
    ----------
    error : ndarray of float32 or None
        Error, None if the image has none.
    variances : dict of str to ndarray of float32
        Variances by name.
    dq : ndarray of uint32
        Data quality.
    region_map : ndarray of int32
        Region numbers.
    n_filled : int
        Number of pixels that are marked FLUX_ESTIMATED here because the model filled them.
    covariances : tuple of ndarray of float32
        Covariance of each pixel with the one 1, 2, ... rows further on, if errors were propagated.
    """

    error: FloatPlane | None
    variances: dict[str, FloatPlane]
    dq: DqPlane
    region_map: LabelPlane
    n_filled: int
    covariances: tuple[FloatPlane, ...] = ()


def usable_flux(image: SpectralImage) -> FloatPlane:
    """Return the flux with NaN where data quality says DO_NOT_USE.

    Parameters
    ----------
    image : SpectralImage
        The image.

    Returns
    -------
    ndarray, shape (n_y, n_x)
        The image's own plane where nothing changes.
    """
    if image.dq is None:
        return image.flux
    unusable = (image.dq & DO_NOT_USE).astype(bool)
    if not np.isfinite(image.flux[unusable]).any():
        return image.flux
    return np.where(unusable, image.flux.dtype.type(np.nan), image.flux)


def native_dq(image: SpectralImage, usable: FloatPlane) -> DqPlane:
    """Return the data quality of an image in a plane of its own, with DO_NOT_USE wherever the flux is missing.

    Parameters
    ----------
    image : SpectralImage
        The image.
    usable : ndarray, shape (n_y, n_x)
        Its `usable_flux`.

    Returns
    -------
    ndarray of uint32, shape (n_y, n_x)
        The bits.
    """
    dq = np.zeros(image.shape, dtype=np.uint32) if image.dq is None else image.dq.copy()
    dq[~np.isfinite(usable)] |= DO_NOT_USE
    return dq


def inflation(factor: float, *, is_density: bool) -> float:
    """Return what an interpolated error is multiplied by.

    Parameters
    ----------
    factor : float
        Oversampling factor.
    is_density : bool
        Whether the flux is an amount per pixel, of which each fine pixel gets its part.

    Returns
    -------
    float
        The empirical factor of jwst.
    """
    inflated = _INFLATION_SLOPE * factor + _INFLATION_OFFSET
    return inflated / factor if is_density else inflated


def companions(
    image: SpectralImage,
    usable: FloatPlane,
    flux_os: FloatPlane,
    factor: float,
    *,
    require_ngood: int,
    errors: PropagatedErrors | None = None,
    n_threads: int | None = None,
) -> Companions:
    """Make the planes that go with an oversampled flux, and make all of them agree on what is missing.

    Data quality and region are those of the nearest native pixel. Where the model gave a flux to a pixel whose
    nearest native pixel had none, FLUX_ESTIMATED replaces DO_NOT_USE. Errors and the square roots of variances are
    interpolated linearly and across gaps, but are missing where the nearest native one is, unless the flux there is
    estimated. At the end NaN in any plane means DO_NOT_USE, and DO_NOT_USE means NaN in every plane.

    Parameters
    ----------
    image : SpectralImage
        The native image.
    usable : ndarray, shape (n_y, n_x)
        Its `usable_flux`.
    flux_os : ndarray, shape (ceil(n_y * factor), n_x)
        Oversampled flux. Changed in place: NaN is put where an error or variance is missing.
    factor : float
        Oversampling factor, at least 1.
    require_ngood : int
        A column of errors is interpolated if it has more finite ones than this.
    errors : PropagatedErrors, optional
        Errors that have been propagated, instead of interpolated ones.
    n_threads : int, optional
        Number of threads; the result does not depend on it.

    Returns
    -------
    Companions
        The planes.
    """
    rows = nearest_rows(image.shape[0], factor, flipped=image.flipped)
    dq = native_dq(image, usable)[rows]
    estimated = (dq & DO_NOT_USE).astype(bool)
    estimated &= np.isfinite(flux_os)
    missing = ~np.isfinite(flux_os)  # DO_NOT_USE with a finite flux is an estimated pixel

    def spread(plane: FloatPlane) -> FloatPlane:
        # interpolate standard deviations, inflate them, and note where they are missing
        known = np.isfinite(plane)
        fine: npt.NDArray[np.float32] = linear_planes(
            plane,
            image.region_map,
            factor,
            require_ngood,
            edge_limit=0,
            preserve_nan=False,
            flipped=image.flipped,
            n_threads=n_threads,
        )
        unknown = ~known[rows]
        unknown &= ~estimated
        fine[unknown] = np.nan
        fine *= np.float32(inflated_by)
        np.logical_or(missing, ~np.isfinite(fine), out=missing)
        return fine

    inflated_by = inflation(factor, is_density=image.flux_is_density)
    error: FloatPlane | None = None
    variances: dict[str, FloatPlane] = {}
    covariances: tuple[FloatPlane, ...] = ()
    if errors is not None:
        share = 1.0 / factor**2 if image.flux_is_density else 1.0
        error = np.sqrt(errors.variance * share).astype(np.float32)
        variances = {name: (plane * share).astype(np.float32) for name, plane in errors.variances.items()}
        covariances = tuple((plane * share).astype(np.float32) for plane in errors.covariances)
        for plane in (error, *variances.values()):
            np.logical_or(missing, ~np.isfinite(plane), out=missing)
    else:
        error = None if image.error is None else spread(image.error)
        for name, plane in image.variances.items():
            with np.errstate(invalid="ignore"):  # a negative variance is as good as none
                fine = spread(np.sqrt(plane))
            variances[name] = np.multiply(fine, fine, out=fine)
    for made in (flux_os, error, *variances.values(), *covariances):
        if made is not None:
            made[missing] = np.nan
    estimated &= ~missing
    dq[estimated] = dq[estimated] & ~np.uint32(DO_NOT_USE) | FLUX_ESTIMATED
    dq[missing] |= DO_NOT_USE
    return Companions(
        error=error,
        variances=variances,
        dq=dq,
        region_map=image.region_map[rows],
        n_filled=int(np.count_nonzero(estimated)),
        covariances=covariances,
    )
