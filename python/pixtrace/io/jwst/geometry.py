"""Where the slices lie on the detector, and where each pixel lies along its slice.

A geometry gives the map of region numbers of an image and, for pixels of one region, the coordinate along the slice
and the wavelength. Images are in the orientation of the computation (axis 0 along the slice), coordinates are pixel
numbers of the file. Only pixels inside a region are evaluated, region by region.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from pixtrace.exceptions import DataError
from pixtrace.io.jwst.polynomial import read_transform
from pixtrace.io.jwst.wcs import steps_of

if TYPE_CHECKING:
    from pixtrace.io.jwst.gwcs_model import GwcsModel
    from pixtrace.io.jwst.modes import Mode
    from pixtrace.io.jwst.polynomial import Transform, Values
    from pixtrace.io.jwst.tree import AsdfTree, Node

__all__ = [
    "Geometry",
    "IfuGeometry",
    "MrsGeometry",
    "Orientation",
    "SlitGeometry",
    "boxes",
    "evaluate",
    "finer",
    "mrs_geometry",
]

#: Turns an image of the file into the orientation of the computation.
Orientation: TypeAlias = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

#: Rows and columns.
Box: TypeAlias = tuple[slice, slice]

#: Region numbers below this fit into 16 bits.
_SMALL = 2**15
_REGIONS_SELECTOR = "tag:stsci.edu:gwcs/regions_selector-"


class Geometry(Protocol):
    """Regions of an image and coordinates in them."""

    @property
    def on_grid(self) -> bool:
        """Whether a whole grid is cheaper to evaluate than the pixels of a slanted slice inside it."""
        ...

    def labels(self) -> npt.NDArray[np.int32]:
        """Return the region number of every pixel, shape (n_y, n_x); 0 and less outside."""
        ...

    def coordinates(self, label: int, x: Values, y: Values) -> tuple[Values, Values]:
        """Return along-slice coordinate and wavelength [um] of pixels of one region.

        Parameters
        ----------
        label : int
            Region number.
        x, y : ndarray of float64
            Pixel numbers of the file, from 0; they broadcast against each other.

        Returns
        -------
        alpha, wavelength : ndarray of float64
            Broadcast shape of `x` and `y`; NaN where the WCS is not defined.
        """
        ...


def boxes(labels: npt.NDArray[np.int32]) -> dict[int, Box]:
    """Return the rows and columns over which each region reaches.

    Parameters
    ----------
    labels : ndarray of int32, shape (n_y, n_x)
        Region numbers; 0 and less outside.

    Returns
    -------
    dict of int to (slice, slice)
        Rows and columns by region number, ascending.
    """
    flat = labels.ravel()
    if flat.size and flat.min() >= -_SMALL and flat.max() < _SMALL:
        flat = flat.astype(np.int16)  # numpy sorts 16 bits by counting
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1)) if flat.size else np.empty(0, dtype=np.intp)
    found: dict[int, Box] = {}
    for start, stop in zip(starts, [*starts[1:], flat.size], strict=True):
        if ordered[start] > 0:
            row, column = np.divmod(order[start:stop], labels.shape[1])
            columns = slice(int(column.min()), int(column.max()) + 1)
            found[int(ordered[start])] = slice(int(row[0]), int(row[-1]) + 1), columns
    return found


def finer(native: dict[int, Box], rows: npt.NDArray[np.intp]) -> dict[int, Box]:
    """Return the boxes of regions on a finer grid.

    Parameters
    ----------
    native : dict of int to (slice, slice)
        Rows and columns by region number.
    rows : ndarray of int, shape (m_y,)
        Native row of each row of the finer grid, ascending.

    Returns
    -------
    dict of int to (slice, slice)
        The same, in rows of the finer grid.
    """
    found: dict[int, Box] = {}
    for label, (across, columns) in native.items():
        start, stop = np.searchsorted(rows, (across.start, across.stop))
        found[label] = slice(int(start), int(stop)), columns
    return found


def evaluate(
    geometry: Geometry,
    mode: Mode,
    labels: npt.NDArray[np.int32],
    regions: dict[int, Box],
    along: Values,
    *,
    want_wavelength: bool,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32] | None]:
    """Evaluate the along-slice coordinate, and the wavelength if wanted, in all regions of an image.

    Parameters
    ----------
    geometry : Geometry
        Where the slices lie.
    mode : Mode
        Which axis of the file they extend along.
    labels : ndarray of int32, shape (n_y, n_x)
        Region numbers on the grid to be evaluated.
    regions : dict of int to (slice, slice)
        Their `boxes`.
    along : ndarray of float64, shape (n_y,)
        Pixel number of the file at the centre of each row of the grid.
    want_wavelength : bool
        Whether the wavelength is computed.

    Returns
    -------
    alpha : ndarray of float64, shape (n_y, n_x)
        NaN outside the regions.
    wavelength : ndarray of float32, shape (n_y, n_x), or None
        In um, NaN outside the regions.
    """
    alpha = np.full(labels.shape, np.nan)
    wavelength = np.full(labels.shape, np.nan, dtype=np.float32) if want_wavelength else None
    across = np.arange(labels.shape[1], dtype=np.float64)
    for label, (rows, columns) in regions.items():
        mask = labels[rows, columns] == label
        along_box, across_box = along[rows, np.newaxis], across[np.newaxis, columns]
        planes = [alpha] if wavelength is None else [alpha, wavelength]
        if geometry.on_grid:
            x, y = (along_box, across_box) if mode.slice_axis == "x" else (across_box, along_box)
            for plane, values in zip(planes, geometry.coordinates(label, x, y), strict=False):
                np.copyto(plane[rows, columns], values, where=mask, casting="same_kind")
        else:
            row, column = np.nonzero(mask)
            points = along_box[row, 0], across_box[0, column]
            x, y = points if mode.slice_axis == "x" else points[::-1]
            for plane, values in zip(planes, geometry.coordinates(label, x, y), strict=False):
                plane[rows, columns][row, column] = values
    return alpha, wavelength


class MrsGeometry:
    """MIRI MRS: one polynomial transform per slice, from pixels to alpha, beta and wavelength.

    Parameters
    ----------
    labels : ndarray of int, shape (n_y, n_x)
        Slice numbers, oriented as the computation wants them.
    transforms : dict of int to callable
        By slice number.
    where : str
        File and extension, for messages.

    Raises
    ------
    DataError
        A slice has no transform.
    """

    on_grid = True

    def __init__(self, labels: npt.NDArray[np.int32], transforms: dict[int, Transform], where: str) -> None:
        _check_slices(labels, transforms, where)
        self._labels = labels
        self._transforms = transforms

    def labels(self) -> npt.NDArray[np.int32]:
        """Return the slice numbers."""
        return self._labels

    def coordinates(self, label: int, x: Values, y: Values) -> tuple[Values, Values]:
        """Return alpha [arcsec] and wavelength [um]."""
        alpha, _, wavelength = self._transforms[label]([x, y])
        return alpha, wavelength


def mrs_geometry(tree: AsdfTree, wcs: Node, orient: Orientation) -> MrsGeometry | None:
    """Return the geometry of an MRS exposure from the nodes of its WCS.

    Parameters
    ----------
    tree : AsdfTree
        The tree of the file.
    wcs : Node
        Its WCS.
    orient : callable
        Turns an image of the file into the orientation of the computation.

    Returns
    -------
    MrsGeometry or None
        None if the WCS is not made of polynomials as the pipeline makes it; gwcs can still read it then.
    """
    for step in steps_of(tree, wcs):
        node = step.transform
        if step.frame != "detector" or node is None or not str(node.tag).startswith(_REGIONS_SELECTOR):
            continue
        mapper = tree.array(tree.child(node, "label_mapper", "mapper"))
        numbers, transforms = _selector(tree, node)
        if mapper is None or numbers is None:
            return None
        table: dict[int, Transform] = {}
        for number, item in zip(numbers, transforms, strict=True):
            transform = read_transform(tree, item)
            if transform is None:
                return None
            table[int(number)] = transform
        return MrsGeometry(np.ascontiguousarray(orient(mapper), dtype=np.int32), table, tree.where)
    return None


def _selector(tree: AsdfTree, node: Node) -> tuple[list[float] | None, list[Node]]:
    """Return the labels and transforms of a regions selector, None for the labels if it is laid out otherwise."""
    entries: dict[str, Node] = {}
    for part in tree.items(tree.child(node, "selector")):
        for item in [part, *tree.items(part)]:
            entries.update(tree.entries(item))
    labels, transforms = tree.numbers(entries.get("labels")), tree.items(entries.get("transforms"))
    return (labels, transforms) if labels is not None and len(transforms) == len(labels) else (None, [])


def _check_slices(labels: npt.NDArray[np.int32], known: Collection[int], where: str) -> None:
    """Complain about slices that have no transform."""
    unknown = sorted(set(np.unique(labels[labels > 0]).tolist()) - set(known))
    if unknown:
        msg = f"{where}: slices {unknown} have no transform in the WCS, which knows {sorted(known)}"
        raise DataError(msg)


class IfuGeometry:
    """An IFU whose slices are given as an image of numbers, with coordinates from gwcs.

    Parameters
    ----------
    labels : ndarray of int32, shape (n_y, n_x)
        Slice numbers, oriented as the computation wants them.
    model : GwcsModel
        The WCS.
    where : str
        File and extension, for messages.

    Raises
    ------
    DataError
        A slice has no transform.
    """

    on_grid = False

    def __init__(self, labels: npt.NDArray[np.int32], model: GwcsModel, where: str) -> None:
        self._labels = labels
        self._model = model
        if model.slices is not None:
            _check_slices(labels, model.slices, where)

    def labels(self) -> npt.NDArray[np.int32]:
        """Return the slice numbers."""
        return self._labels

    def coordinates(self, label: int, x: Values, y: Values) -> tuple[Values, Values]:
        """Return along-slice coordinate and wavelength [um]."""
        return self._model.coordinates(x, y, label)


class SlitGeometry:
    """One slit: the region is where the WCS is defined, inside its bounding box.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image in the file.
    model : GwcsModel
        The WCS.
    box : list of (float, float) or None
        Bounding box in pixels of the file, x before y; None if there is none.
    orient : callable
        Turns an image of the file into the orientation of the computation.
    """

    on_grid = False

    def __init__(
        self,
        shape: tuple[int, int],
        model: GwcsModel,
        box: list[tuple[float, float]] | None,
        orient: Orientation,
    ) -> None:
        self._model = model
        y, x = (np.arange(n, dtype=np.float64) for n in shape)
        inside = np.ones(shape, dtype=bool)
        if box is not None:
            (x_low, x_high), (y_low, y_high) = box
            inside &= ((x >= x_low) & (x <= x_high))[np.newaxis] & ((y >= y_low) & (y <= y_high))[:, np.newaxis]
        row, column = np.nonzero(inside)
        alpha, _ = model.coordinates(x[column], y[row], 1, want_wavelength=False)
        inside[row, column] = np.isfinite(alpha)
        self._labels = np.ascontiguousarray(orient(inside), dtype=np.int32)

    def labels(self) -> npt.NDArray[np.int32]:
        """Return 1 inside the slit, 0 outside."""
        return self._labels

    def coordinates(self, label: int, x: Values, y: Values) -> tuple[Values, Values]:
        """Return along-slit coordinate and wavelength [um]."""
        return self._model.coordinates(x, y, label)
