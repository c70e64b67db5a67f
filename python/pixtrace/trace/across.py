"""Dithers across the slices of an IFU: how many slices the source has moved by, and which regions show the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pixtrace.trace.image import SpectralImage

__all__ = ["Across", "Places", "across", "slices_moved"]

#: By exposure and region: the region that it is fitted with, and what is added to its columns.
Places: TypeAlias = list[dict[int, tuple[int, int]]]

#: A source has moved to other slices if its light is distributed over them as it was, to this correlation,
_LEAST_CORRELATION = 0.8
#: and the correlation is nearer to 1 than without the move by this factor.
_NEARER = 0.5


@dataclass(frozen=True)
class Across:
    """How sources have moved across the slices of a group of regions.

    Attributes
    ----------
    moved : tuple of int
        By exposure, how many slices farther on the source stands than in the first.
    places : list of dict
        By exposure and region, the region of the first exposure that shows the same, and what is added to its columns
        so that all exposures have the same wavelengths there. Empty if nothing has moved.
    """

    moved: tuple[int, ...]
    places: Places


def across(
    images: Sequence[SpectralImage], fluxes: Sequence[npt.NDArray[np.floating]], groups: Sequence[Sequence[int]]
) -> list[Across]:
    """Find by how many slices the source of each exposure has moved, from how its light is distributed over them.

    Parameters
    ----------
    images : sequence of SpectralImage
        The exposures. Wavelengths are taken from the first of them that has some.
    fluxes : sequence of ndarray, shape (n_y, n_x)
        Their fluxes, NaN where they cannot be used.
    groups : sequence of sequence of int
        Regions that lie side by side, in their order across the slices.

    Returns
    -------
    list of Across
        One for each group.
    """
    lights = [_light(image, flux) for image, flux in zip(images, fluxes, strict=True)]
    found: list[Across] = []
    for labels in groups:
        planes = [np.array([light.get(label, 0.0) for label in labels]) for light in lights]
        moved = tuple(slices_moved(planes[0], plane) for plane in planes)
        found.append(Across(moved, _places(labels, moved, _crossings(images, labels)) if any(moved) else []))
    return found


def slices_moved(first: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> int:
    """Return by how many slices light has moved.

    Parameters
    ----------
    first, other : ndarray of float64, shape (n_slices,)
        Light of each slice, not negative.

    Returns
    -------
    int
        The number of slices; 0 unless the light is as it was but for the move, and much more so than without it.
    """
    n = first.size
    norm = float(np.linalg.norm(first) * np.linalg.norm(other))
    if n < 2 or norm == 0.0:  # noqa: PLR2004 - one slice has no neighbour
        return 0
    # Light that has left the slices counts in the norm, so that nothing is matched by its faint edge.
    correlation = np.correlate(other, first, mode="full") / norm
    best = int(np.argmax(correlation))
    alike = bool(correlation[best] > _LEAST_CORRELATION)
    nearer = bool(1 - correlation[best] < _NEARER * (1 - correlation[n - 1]))
    return best - (n - 1) if alike and nearer else 0


def _light(image: SpectralImage, flux: npt.NDArray[np.floating]) -> dict[int, float]:
    """Return by region the signal to noise of what stands out from the level of a column, in the median column."""
    labels, region = np.unique(image.region_map, return_inverse=True)
    n_columns = flux.shape[1]
    place = (region.reshape(flux.shape) * n_columns + np.arange(n_columns)).ravel()
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.ones(flux.shape) if image.error is None else image.error.astype(np.float64) ** -2
    weight[~(np.isfinite(flux) & np.isfinite(weight))] = 0.0
    known = np.where(weight > 0, flux, 0.0).astype(np.float64)
    sums = [
        np.bincount(place, plane.ravel(), minlength=labels.size * n_columns).reshape(labels.size, n_columns)
        for plane in (weight, weight * known, weight * known**2, weight > 0)
    ]
    total, first, second, n_pixels = sums
    noise = np.zeros_like(n_pixels) if image.error is None else n_pixels - 1
    squares = np.full(total.shape, np.nan)
    np.divide(first**2, total, out=squares, where=total > 0)
    squares = second - squares - noise
    found: dict[int, float] = {}
    for label, row in zip(labels, squares, strict=True):
        seen = row[np.isfinite(row)]
        if label in image.regions and seen.size:
            found[int(label)] = float(np.sqrt(max(np.median(seen), 0.0)))
    return found


def _crossings(images: Sequence[SpectralImage], labels: Sequence[int]) -> dict[int, float]:
    """Return by region the column at which it has a wavelength that all have; empty without wavelengths."""
    image = next((image for image in images if image.wavelength is not None), None)
    if image is None or image.wavelength is None:
        return {}
    spectra: dict[int, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = {}
    for label in labels:
        known = (image.region_map == label) & np.isfinite(image.wavelength)
        n_known = known.sum(axis=0)
        columns = np.flatnonzero(n_known)
        if columns.size:
            sums = np.where(known, image.wavelength, 0.0).sum(axis=0)
            wavelength = sums[columns] / n_known[columns]
            order = np.argsort(wavelength)
            spectra[label] = wavelength[order], columns[order].astype(np.float64)
    if not spectra:
        return {}
    common = float(np.median([np.median(wavelength) for wavelength, _ in spectra.values()]))
    return {label: float(np.interp(common, *spectrum)) for label, spectrum in spectra.items()}


def _places(labels: Sequence[int], moved: Sequence[int], crossings: dict[int, float]) -> Places:
    """Return by exposure and region the region that it is fitted with, and what is added to its columns."""
    last = len(labels) - 1
    found: Places = []
    for steps in moved:
        places: dict[int, tuple[int, int]] = {}
        for number, label in enumerate(labels):
            shown = number - steps
            # Slices that the first exposure does not have go on counting: other exposures may have moved alike.
            target = labels[shown] if 0 <= shown <= last else (labels[0] if shown < 0 else labels[last] - last) + shown
            columns = crossings.get(target, np.nan) - crossings.get(label, np.nan)
            places[label] = target, round(columns) if np.isfinite(columns) else 0
        found.append(places)
    lowest = min(columns for places in found for _, columns in places.values())
    return [{label: (target, columns - lowest) for label, (target, columns) in places.items()} for places in found]
