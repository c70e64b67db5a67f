"""The numbers behind the pictures of `pixtrace.plots_quality`: maps by region and column, and straightened slices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.trace.quality import SliceSpectrum, TraceQuality, slice_spectrum
from pixtrace.trace.record import ABSENCES, ORIGINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.result import OversampledImage

__all__ = ["N_SPECTRA", "REFUSED", "STATES", "Assessment", "ColumnMaps", "histogram", "region_name", "straightened"]

#: What a region without a trace is called.
REFUSED = "region not fitted"
#: What can be said of a column, in the order of the legend.
STATES = (*ORIGINS, *ABSENCES, REFUSED)
#: So many of the brightest slices are looked at one by one.
N_SPECTRA = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Assessment:
    """One image, what became of it, and how good that is.

    Attributes
    ----------
    image : SpectralImage
        The image.
    result : OversampledImage
        What became of it.
    quality : TraceQuality
        How good that is.
    spectra : tuple of SliceSpectrum
        Spectra in the brightest rows of the brightest slices, of those with a trace if there are any.
    """

    image: SpectralImage
    result: OversampledImage
    quality: TraceQuality
    spectra: tuple[SliceSpectrum, ...]

    @classmethod
    def of(cls, image: SpectralImage, result: OversampledImage) -> Assessment:
        """Assess an image.

        Parameters
        ----------
        image, result : SpectralImage, OversampledImage
            Before and after.

        Returns
        -------
        Assessment
            All that the report says of it.
        """
        quality = TraceQuality.of(image, result)
        bright = quality.brightest(N_SPECTRA)
        if bright and not bright[0].refused:
            bright = [region for region in bright if not region.refused]
        spectra = tuple(slice_spectrum(image, result, region) for region in bright)
        return cls(image=image, result=result, quality=quality, spectra=spectra)


@dataclass(frozen=True, kw_only=True, eq=False)
class ColumnMaps:
    """What is known of each column of each region, regions of all images one above the other.

    Attributes
    ----------
    names : tuple of str
        Of the regions, by row.
    state : ndarray of int, shape (n_regions, n_x)
        Index in `STATES`; -1 where the region has no pixel.
    chi2 : ndarray of float64, shape (n_regions, n_x)
        Reduced chi2; NaN where there is none.
    """

    names: tuple[str, ...]
    state: npt.NDArray[np.int64]
    chi2: npt.NDArray[np.float64]

    @classmethod
    def of(cls, assessments: Sequence[Assessment]) -> ColumnMaps:
        """Collect them.

        Parameters
        ----------
        assessments : sequence of Assessment
            The images of an exposure.

        Returns
        -------
        ColumnMaps
            At least one row and one column, empty ones if there is no region.
        """
        found = [(each, region) for each in assessments for region in each.quality.regions]
        shape = (max(len(found), 1), max((each.image.shape[1] for each in assessments), default=1))
        state, chi2 = np.full(shape, -1, dtype=np.int64), np.full(shape, np.nan)
        names: list[str] = []
        for row, (each, region) in enumerate(found):
            names.append(region_name(each, region.region, several=len(assessments) > 1))
            for code, name in enumerate(STATES):
                state[row, region.columns[region.state == name]] = code
            if region.refused:
                state[row, region.columns] = STATES.index(REFUSED)
            chi2[row, region.columns] = region.chi2
        return cls(names=tuple(names), state=state, chi2=chi2)


def region_name(assessment: Assessment, region: int, *, several: bool) -> str:
    """Return what to call a region: its number, after the name of its image if there are several images.

    Parameters
    ----------
    assessment : Assessment
        Its image.
    region : int
        Its number.
    several : bool
        Whether there are other images.

    Returns
    -------
    str
        The name.
    """
    return f"{assessment.image.name} {region}".strip() if several else str(region)


def straightened(
    plane: npt.NDArray[np.generic], region_map: npt.NDArray[np.int32], region: int
) -> npt.NDArray[np.float64]:
    """Return a slice pushed together: in each column its pixels alone, the first of them at the bottom.

    Parameters
    ----------
    plane : ndarray, shape (n_y, n_x)
        Numbers or truth values.
    region_map : ndarray of int, shape (n_y, n_x)
        Slice numbers.
    region : int
        The slice.

    Returns
    -------
    ndarray of float64, shape (n, n_x)
        n is the largest number of pixels in a column; NaN where a column has fewer.
    """
    inside = region_map == region
    rows = np.cumsum(inside, axis=0) - 1
    y, x = np.nonzero(inside)
    found = np.full((int(inside.sum(axis=0).max(initial=1)), plane.shape[1]), np.nan)
    found[rows[y, x], x] = plane[y, x]
    return found


def histogram(
    pulls: npt.NDArray[np.float64], *, limit: float, n_bins: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the distribution of pulls and the edges of its bins.

    Parameters
    ----------
    pulls : ndarray of float
        Residuals in units of their errors; what is not finite is left out.
    limit : float
        Ends of the first and of the last bin; what lies beyond is counted in them.
    n_bins : int
        Number of bins.

    Returns
    -------
    density : ndarray of float64, shape (n_bins,)
        Per unit; its integral is 1, or 0 without any pull.
    edges : ndarray of float64, shape (n_bins + 1,)
        Edges.
    """
    edges = np.linspace(-limit, limit, n_bins + 1)
    values = np.clip(pulls[np.isfinite(pulls)], -limit, math.nextafter(limit, 0.0))
    counts = np.histogram(values, bins=edges)[0].astype(np.float64)
    return counts / (max(values.size, 1) * (edges[1] - edges[0])), edges
