"""Optimal extraction: a spectrum with errors from every slice, and one from all slices that share a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace import _native
from pixtrace._arrays import as_count, as_double, as_flag, as_real, check_callable
from pixtrace.exceptions import DataError, ParameterError
from pixtrace.trace.companions import usable_flux
from pixtrace.trace.image import DO_NOT_USE, check_image
from pixtrace.trace.model import TraceModel
from pixtrace.trace.refine import spread_about_model
from pixtrace.trace.result import FittedImage
from pixtrace.trace.spectrum import ExtractedSpectrum
from pixtrace.trace.thresholds import Thresholds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from pixtrace.trace.image import FloatPlane, SpectralImage

__all__ = ["Extraction", "as_fitted", "extract", "extract_planes"]

#: Labels of one channel of MIRI MRS, which the slices of every channel count from.
_LABELS_PER_CHANNEL = 100
_HALF_WINDOW = 50


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Extraction:
    """The spectra of an image.

    Attributes
    ----------
    name : str
        Name of the image.
    spectra : mapping of int to ExtractedSpectrum
        Spectrum of each region that has a trace, by its label.
    combined : mapping of str to ExtractedSpectrum
        Spectra of slices that share the light of one source, by name; empty where nothing was to be combined.
    source : tuple of float, or None
        Lowest and highest alpha of the source; None if all that is in a slice counts as it.
    profile_errors : bool
        Whether the errors hold those of the profile.
    """

    name: str
    spectra: Mapping[int, ExtractedSpectrum]
    combined: Mapping[str, ExtractedSpectrum] = field(default_factory=dict)
    source: tuple[float, float] | None = None
    profile_errors: bool = False

    def all(self) -> list[ExtractedSpectrum]:
        """Return all spectra, those of several slices first.

        Returns
        -------
        list of ExtractedSpectrum
            Combined ones, then by region.
        """
        return [*self.combined.values(), *self.spectra.values()]

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        kind = "with" if self.profile_errors else "without"
        combined = f", {len(self.combined)} of several slices" if self.combined else ""
        return f"<Extraction{name}: {len(self.spectra)} regions{combined}; {kind} errors of the profile>"


def extract(
    image: SpectralImage,
    fitted: FittedImage | TraceModel,
    *,
    source: tuple[float, float] | None = None,
    profile_errors: bool | None = None,
    reject_outliers: bool = True,
    groups: Mapping[str, Sequence[int]] | None = None,
    half_window: int = _HALF_WINDOW,
    wavelength: npt.ArrayLike | None = None,
    unit: str = "",
    wavelength_unit: str = "um",
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Extraction:
    r"""Extract the spectrum of every slice or slit, each pixel weighted by what it says about the source.

    Parameters
    ----------
    image : SpectralImage
        The image. Pixels that are missing or DO_NOT_USE, or whose error is not positive, are left out. Without errors,
        the spread about the model of the pixels of a region that are about as bright is taken for their error.
    fitted : FittedImage or TraceModel
        Its model: from `pixtrace.trace.fit_image`, or `apply_model` for a model of another exposure.
    source : tuple of float, optional
        Lowest and highest alpha of the source. What lies beyond is background: its level is fitted in every column, and
        taken off. None: all that is in the slice is the source.
    profile_errors : bool, optional
        Whether the errors hold those of the profile, which need a model with a record of its fit
        (``errors="propagated"``, or the robust method). None: if it has one.
    reject_outliers : bool, optional
        Whether pixels are left out that lie off the model by more than five errors, and by more than five times what
        their neighbours do: cosmic rays.
    groups : mapping of str to sequence of int, optional
        Which regions share the light of a source and are combined, by name. None combines all slices of an image, or of
        each channel of MIRI MRS (labels 101, 102, ... are those of channel 1); but nothing if wavelengths are not
        known: the slices of an IFU have other wavelengths in the same column. Groups that are given are then combined
        column by column.
    half_window : int, optional
        Half the number of wavelengths over which the share of each slice is averaged.
    wavelength : array_like, shape (n_y, n_x), optional
        Wavelength of each pixel; None takes that of the image. Images of JWST exposures have none of their own: give
        ``exposure.wavelength(index)``.
    unit, wavelength_unit : str, optional
        Units, for the spectra.
    n_threads, progress : optional
        See `pixtrace.trace.fit_image`.

    Returns
    -------
    Extraction
        Spectra by region, and of combined slices.

    Raises
    ------
    DataError
        The image is a time series, or `profile_errors` are asked for and the model has no record.
    ParameterError
        `source` is not a range.
    ShapeError
        `wavelength` does not have the shape of the image.

    Notes
    -----
    The method is that of Horne (1986, PASP 98, 609). With the spline :math:`m(\alpha)` of a column, the flux
    :math:`D_i` of its pixels and their variance :math:`V_i`,

    .. math::

        P_i = m(\alpha_i) \Big/ \frac{1}{\Delta} \int m \, d\alpha, \qquad
        F = \frac{\sum P_i D_i / V_i}{\sum P_i^2 / V_i}, \qquad
        \mathrm{var} F = \frac{1}{\sum P_i^2 / V_i},

    with the integral over the source and the width :math:`\Delta` of a pixel (where the flux is an amount per pixel,
    that of the pixels there; otherwise the usual one of the region). The integral is taken as the sum over all pixels
    of the column, missing ones too. So P has a unit integral over the pixels, and F is the sum over the pixels of the
    column as if none were missing: in the unit of one pixel's flux, and without the wiggles of an aperture. With a
    background, ``D = A m + B`` is fitted, and what m has beyond the source, a straight line through its means on both
    sides, is taken off it under the source. With errors of the profile, the derivative of F by the coefficients of the
    spline, and the correlation of these with the pixels, are added to the variance.

    Nothing is added to errors, nor are they multiplied by anything; `ExtractedSpectrum.chi2` tells how well a column
    follows its profile. Errors that were estimated from the same noisy counts as the flux favour low pixels: with N
    counts in each pixel the flux is too low by about 1 / N.

    Where a faint profile loses its source altogether, noise and flux collapse: with a `source`, columns whose noise is
    less than a third of that of the columns around are NaN.

    A negative mean that was taken off before the fit (`FittedImage.offset`) counts as background.

    A slice holds a share of the light of a source. Spectra of several slices are interpolated to the wavelengths of the
    one with the most signal, and combined with weights of share over variance; the shares are those of the fluxes over
    ``2 half_window + 1`` wavelengths. Slices without significant flux take no part.
    """
    fitted = as_fitted(image, fitted)
    spectra, _, has_profile = extract_planes(
        image,
        fitted,
        source=source,
        profile_errors=profile_errors,
        reject_outliers=reject_outliers,
        planes=False,
        wavelength=image.wavelength if wavelength is None else wavelength,
        unit=unit,
        wavelength_unit=wavelength_unit,
        n_threads=n_threads,
        progress=progress,
    )
    half = as_count(half_window, "half_window")
    combined: dict[str, ExtractedSpectrum] = {}
    if groups is None:
        is_known = wavelength is not None or image.wavelength is not None
        groups = _groups(spectra) if is_known else {}
    for name, labels in groups.items():
        members = [spectra[label] for label in labels if label in spectra]
        if len(members) > 1:
            combined[name] = _combine(name, members, half)
    return Extraction(
        name=image.name,
        spectra=spectra,
        combined=combined,
        source=None if source is None else _range(source),
        profile_errors=has_profile,
    )


def extract_planes(
    image: SpectralImage,
    fitted: FittedImage | TraceModel,
    *,
    source: tuple[float, float] | None,
    profile_errors: bool | None,
    reject_outliers: bool,
    planes: bool,
    wavelength: npt.ArrayLike | None = None,
    unit: str = "",
    wavelength_unit: str = "um",
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[dict[int, ExtractedSpectrum], list[FloatPlane], bool]:
    """Extract the spectra by region, and if wanted the image of the source.

    Parameters
    ----------
    image, fitted, source, profile_errors, reject_outliers : optional
        See `extract`.
    planes : bool
        Whether the planes are wanted.
    wavelength, unit, wavelength_unit, n_threads, progress : optional
        See `extract`.

    Returns
    -------
    spectra : dict of int to ExtractedSpectrum
        By region.
    planes : list of ndarray
        The source at each pixel, and the variance of flux less source; without rows unless they are wanted.
    has_profile : bool
        Whether the variances hold those of the profile.
    """
    fitted = as_fitted(image, fitted)
    check_callable(progress, "progress")
    model = fitted.model
    has_profile = model.has_record if profile_errors is None else as_flag(profile_errors, "profile_errors")
    good = usable_flux(image)
    flux = good - good.dtype.type(fitted.offset) if fitted.offset else good
    known = None if wavelength is None else as_double(wavelength, "wavelength")
    found, made = _native.extract(
        model.native,
        flux,
        spread_about_model(image, fitted, flux) if image.error is None else image.error,
        image.alpha,
        image.region_map,
        known,
        params={
            "source": None if source is None else _range(source),
            "is_density": image.flux_is_density,
            "reject_outliers": as_flag(reject_outliers, "reject_outliers"),
            "profile_errors": has_profile,
            "planes": planes,
        },
        n_threads=None if n_threads is None else as_count(n_threads, "n_threads", least=1),
        progress=progress,
    )
    is_split = source is not None
    spectra: dict[int, ExtractedSpectrum] = {}
    for label, (first, numbers, (n_pixels, n_rejected)) in found.items():
        waves, values, variance, noise, background, background_variance, fraction, chi2 = numbers
        columns = np.arange(first, first + values.size)
        spectra[label] = ExtractedSpectrum(
            name=f"region {label}",
            regions=(label,),
            wavelength=columns.astype(np.float64) if known is None else waves,
            flux=values,
            error=np.sqrt(variance),
            noise=np.sqrt(noise),
            dq=_dq(values),
            background=background + fitted.offset if is_split else None,
            background_error=np.sqrt(background_variance) if is_split else None,
            fraction=fraction,
            chi2=chi2,
            n_pixels=n_pixels,
            n_rejected=n_rejected,
            column=columns,
            unit=unit,
            wavelength_unit="pix" if known is None else wavelength_unit,
        )
    return spectra, made, has_profile


def as_fitted(image: SpectralImage, fitted: FittedImage | TraceModel) -> FittedImage:
    """Return a model with all that goes with it, once it is sure that it can be used for an image.

    Parameters
    ----------
    image : SpectralImage
        The image.
    fitted : FittedImage or TraceModel
        Its model.

    Returns
    -------
    FittedImage
        The model.

    Raises
    ------
    ParameterError
        One of them is something else.
    DataError
        The image is a time series.
    """
    _check_kinds(image, fitted)
    if image.n_integrations > 1:
        msg = (
            f"{image.label} is the median of a time series of {image.n_integrations} integrations, whose errors are "
            "not those of its pixels; give single integrations"
        )
        raise DataError(msg)
    if isinstance(fitted, TraceModel):
        return FittedImage(model=fitted, offset=0.0, thresholds=Thresholds(None, None))
    return fitted


def _check_kinds(image: object, fitted: object) -> None:
    """Complain about an image and a model that are something else."""
    check_image(image)
    if not isinstance(fitted, (FittedImage, TraceModel)):
        msg = f"`fitted` is a {type(fitted).__name__}; expected what `fit_image` returns, or a TraceModel"
        raise ParameterError(msg)


def _range(source: Any) -> tuple[float, float]:  # noqa: ANN401 - whatever the caller takes for a range
    """Return the ends of a range."""
    try:
        low, high = source
    except (TypeError, ValueError) as error:
        msg = f"`source` = {source!r}; expected its lowest and its highest alpha"
        raise ParameterError(msg) from error
    low, high = as_real(low, "source"), as_real(high, "source")
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        msg = f"`source` = ({low:g}, {high:g}); expected its lowest and its highest alpha, in this order"
        raise ParameterError(msg)
    return low, high


def _groups(spectra: Mapping[int, ExtractedSpectrum]) -> dict[str, list[int]]:
    """Return which regions share the light of a source."""
    groups: dict[str, list[int]] = {}
    for label in spectra:
        channel = label // _LABELS_PER_CHANNEL
        groups.setdefault(f"channel {channel}" if channel else "all slices", []).append(label)
    return groups


def _combine(name: str, members: Sequence[ExtractedSpectrum], half_window: int) -> ExtractedSpectrum:
    """Return one spectrum of several slices."""
    numbers, is_used = _native.combine_slices(
        [(one.wavelength, one.flux, one.error**2, _noise(one)) for one in members], half_window
    )
    wavelength, flux, variance, fraction, chi2 = numbers
    return ExtractedSpectrum(
        name=name,
        regions=tuple(one.regions[0] for one, used in zip(members, is_used, strict=True) if used),
        wavelength=wavelength,
        flux=flux,
        error=np.sqrt(variance),
        dq=_dq(flux),
        fraction=fraction,
        chi2=chi2,
        unit=members[0].unit,
        wavelength_unit=members[0].wavelength_unit,
    )


def _noise(spectrum: ExtractedSpectrum) -> npt.NDArray[np.float64]:
    """Return the variance of a spectrum that is independent from column to column."""
    noise = spectrum.error if spectrum.noise is None else spectrum.noise
    return np.asarray(noise**2)


def _dq(flux: npt.NDArray[np.float64]) -> npt.NDArray[np.uint32]:
    """Return the data quality of a spectrum."""
    return np.where(np.isfinite(flux), 0, DO_NOT_USE).astype(np.uint32)
