"""How far the planes of two products are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pixtrace.adapters._comparison import Gap, gap

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Plane = npt.NDArray[Any]

__all__ = ["PLANES", "Difference", "differences"]

#: Planes of a product that are compared, if it has them.
PLANES: Final = (
    "data",
    "err",
    "var_poisson",
    "var_rnoise",
    "var_flat",
    "dq",
    "wavelength",
    "trace_model",
    "regions",
)
_ROWS_AND_COLUMNS: Final = 2


@dataclass(frozen=True)
class Difference:
    """How far two planes are apart in one region.

    Attributes
    ----------
    image : str
        Name of the slit, "" if the product holds one image.
    plane : str
        Name of the plane in the datamodel.
    region : int
        Number of the slice; 0 for the whole image.
    n_pixels : int
        Pixels in the region.
    n_differing : int
        Pixels whose values are not the same, bit for bit.
    n_missing : int
        Pixels that are NaN in one of the two alone.
    largest : float
        Largest difference [unit of the plane]; of whole numbers, such as flags, 0 or NaN.
    relative : float
        Largest difference relative to the value or, where that is larger, to the median magnitude of the plane in the
        region; of whole numbers, the share of pixels that differ.
    """

    image: str
    plane: str
    region: int
    n_pixels: int
    n_differing: int
    n_missing: int
    largest: float
    relative: float

    @property
    def label(self) -> str:
        """Slit and plane."""
        return f"{self.image} {self.plane}".strip()

    @property
    def place(self) -> int | None:
        """Number of the slice; None for the whole image."""
        return self.region or None

    @property
    def gap(self) -> Gap:
        """The numbers."""
        return Gap(self.n_pixels, self.n_differing, self.n_missing, self.largest, self.relative)


def differences(theirs: Any, ours: Any) -> list[Difference]:  # noqa: ANN401 - datamodels come without types
    """Compare two products.

    Parameters
    ----------
    theirs, ours : datamodel
        IFU images, slits, or models with several slits, of the same shapes.

    Returns
    -------
    list of Difference
        By image, plane and region; region 0 first.
    """
    found: list[Difference] = []
    for name, one, other in _parts(theirs, ours):
        places = _places(one)
        for plane in PLANES:
            a, b = (np.asarray(getattr(part, plane)) if part.hasattr(plane) else None for part in (one, other))
            if a is None and b is None:
                continue
            if a is None or b is None or a.shape != b.shape:
                size = max(value.size for value in (a, b) if value is not None)
                found.append(Difference(name, plane, 0, size, size, size, float("nan"), float("inf")))
                continue
            shape = a.shape[-_ROWS_AND_COLUMNS:]
            found += [
                _difference(name, plane, region, a.reshape(-1, *shape), b.reshape(-1, *shape), pixels)
                for region, pixels in places.items()
                if region == 0 or shape == one.data.shape[-_ROWS_AND_COLUMNS:]
            ]
    return found


def _difference(image: str, plane: str, region: int, a: Plane, b: Plane, pixels: Plane | None) -> Difference:
    """Compare two planes, or stacks of them, in some pixels; None for all."""
    if pixels is not None:
        a, b = (stack.reshape(stack.shape[0], -1)[:, pixels] for stack in (a, b))
    return Difference(image, plane, region, *gap(a, b))


def _parts(theirs: Any, ours: Any) -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401
    """Yield name and parts of two products: their slits, or themselves."""
    if not theirs.hasattr("slits"):
        yield "", theirs, ours
        return
    for i, (one, other) in enumerate(zip(theirs.slits, ours.slits, strict=True)):
        yield str(getattr(one, "name", None) or i + 1), one, other


def _places(part: Any) -> dict[int, Plane | None]:  # noqa: ANN401
    """Return where the regions of an image are, as positions in its flattened pixels; None stands for all of them."""
    labels = _labels(part)
    places: dict[int, Plane | None] = {0: None}
    if labels is None:
        return places
    flat = labels.ravel()
    order = np.argsort(flat, kind="stable")
    numbers, starts = np.unique(flat[order], return_index=True)
    for number, pixels in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
        if number > 0:
            places[int(number)] = pixels
    return places


def _labels(part: Any) -> Plane | None:  # noqa: ANN401
    """Return the number of the slice of every pixel; a slit has the number 1, where it is known where it is."""
    shape = part.data.shape[-_ROWS_AND_COLUMNS:]
    candidates = [getattr(part, "regions", None) if part.hasattr("regions") else None]
    wcs = part.meta.wcs
    if wcs is not None and "alpha_beta" in wcs.available_frames:
        transform = wcs.get_transform("detector", "alpha_beta")
        candidates.append(getattr(getattr(transform, "label_mapper", None), "mapper", None))
    if part.hasattr("wavelength"):
        candidates.append(np.isfinite(part.wavelength))
    for candidate in candidates:
        if candidate is not None and np.shape(candidate) == shape:
            return np.asarray(candidate).astype(np.int32)
    return None
