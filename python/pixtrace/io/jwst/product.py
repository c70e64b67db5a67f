"""Writing the product: the input file with finer planes, their WCS, and the trace.

Units that are not ours are copied byte for byte, the rest is written plane by plane. Headers and ASDF tree say the
same, and the tree holds the hash of the headers by which stdatamodels sees that it need not compare them.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.io.atomic import atomic_path, check_output
from pixtrace.io.jwst.pieces import Piece, headers_hash, plane_piece, tree_piece, write_pieces
from pixtrace.io.jwst.wcs import oversample_wcs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from pixtrace.io.jwst.container import FitsContainer, Header, Unit
    from pixtrace.io.jwst.modes import Mode
    from pixtrace.io.jwst.tree import AsdfTree, Node
    from pixtrace.trace.replace import ChangedImage
    from pixtrace.trace.result import OversampledImage

__all__ = ["PRODUCT_SUFFIX", "Part", "Product", "ProductWriter", "write_changed", "write_product"]

#: What names of products end in.
PRODUCT_SUFFIX = "_adaptive_trace_model"
#: Status of the step: its keyword, that keyword's comment, and its name in the tree.
_STATUS, _STATUS_COMMENT, _STATUS_NAME = "S_TRCMOD", "Adaptive Trace Model", "adaptive_trace_model"
_FACTOR = "PIXFACT"
_HASH = "_fits_hash"
_PIXEL_AREAS = {"PIXAR_SR": "pixelarea_steradians", "PIXAR_A2": "pixelarea_arcsecsq"}
#: Names in the tree of planes that are called otherwise there; the others are in small letters.
_TREE_NAMES = {"SCI": "data", "TRACEMODEL": "trace_model"}
#: Suffixes of the files with intermediate results, and the plane that each holds.
_INTERMEDIATE = {
    "_spline_full": "full_trace",
    "_spline_used": "trace_used",
    "_linear_interp": "linear_flux",
    "_spline_residual": "residual_flux",
}
#: What the names of extensions with covariances begin with; the datamodel does not know them.
_COVARIANCE = "COVAR_"


@dataclass(frozen=True)
class Part:
    """One image of a file.

    Attributes
    ----------
    version : int
        EXTVER of its extensions.
    slit : int or None
        Place in the list of slits of the tree; None if the image is that of the file itself.
    """

    version: int
    slit: int | None

    def path(self, *names: str) -> tuple[str | int, ...]:
        """Return the path in the tree of something that belongs to this image."""
        return names if self.slit is None else ("slits", self.slit, *names)


@dataclass(frozen=True, eq=False)
class Product:
    """What a product is made from.

    Attributes
    ----------
    container : FitsContainer
        The input file.
    tree : AsdfTree
        Its tree; it is not changed.
    mode : Mode
        Its mode.
    parts : list of Part
        Its images.
    """

    container: FitsContainer
    tree: AsdfTree
    mode: Mode
    parts: list[Part]


def write_product(
    product: Product,
    results: Sequence[OversampledImage],
    wavelengths: Sequence[npt.NDArray[np.float32] | None],
    path: Path,
    *,
    overwrite: bool,
    intermediate: bool,
) -> list[Path]:
    """Write a product, and the intermediate results beside it.

    Parameters
    ----------
    product : Product
        What it is made from.
    results : sequence of OversampledImage
        One per part, all with the same factor. With none, the input is written with the step recorded as skipped.
    wavelengths : sequence of ndarray or None
        Wavelength [um] of the oversampled pixels by part; None for factor 1.
    path : Path
        File to be written.
    overwrite : bool
        Whether files that are there already may be replaced.
    intermediate : bool
        Whether the intermediate results are written.

    Returns
    -------
    list of Path
        The files, the product first.

    Raises
    ------
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """
    stem = path.name.removesuffix(".fits").removesuffix(PRODUCT_SUFFIX)
    beside: dict[Path, Callable[[OversampledImage], npt.NDArray[Any]]] = {
        path.with_name(f"{stem}{suffix}.fits"): attrgetter(attribute)
        for suffix, attribute in _INTERMEDIATE.items()
        if intermediate and results and all(getattr(result, attribute) is not None for result in results)
    }
    for target in (path, *beside):
        check_output(target, overwrite=overwrite)
    with atomic_path(path, overwrite=overwrite) as unfinished:
        write_pieces(unfinished, ProductWriter(product, results, path.name).product(wavelengths))
    for target, plane_of in beside.items():
        with atomic_path(target, overwrite=overwrite) as unfinished:
            write_pieces(unfinished, ProductWriter(product, results, target.name).intermediate(plane_of))
    return [path, *beside]


def write_changed(
    product: Product, changed: Sequence[ChangedImage], path: Path, *, history: str, overwrite: bool
) -> Path:
    """Write the input with the planes of its images changed, and all else as it is.

    Parameters
    ----------
    product : Product
        What it is made from.
    changed : sequence of ChangedImage
        One per part.
    path : Path
        File to be written.
    history : str
        What was done, for the primary header.
    overwrite : bool
        Whether a file that is there already may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """
    with atomic_path(path, overwrite=overwrite) as unfinished:
        write_pieces(unfinished, ProductWriter(product, [], path.name).changed(changed, history))
    return path


class ProductWriter:
    """Puts together one file."""

    def __init__(self, product: Product, results: Sequence[OversampledImage], name: str) -> None:
        self.source = product
        self.results = results
        self.factor = results[0].factor if results else 1.0
        self.tree = product.tree.copy()
        self.primary = product.container.primary.copy()
        for keyword in ("CHECKSUM", "DATASUM"):
            self.primary.remove(keyword, ignore_missing=True)
        date = dt.datetime.now(tz=dt.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
        for keyword, entry, value in (("FILENAME", "filename", name), ("DATE", "date", date)):
            self.primary[keyword] = value
            self.tree.put_scalar(value, "meta", entry)
        self._divide_areas(self.primary)
        for node in self._nodes("photometry") if self.factor != 1 else ():
            for entry in _PIXEL_AREAS.values():
                area = self.tree.number(self.tree.child(node, entry))
                if area is not None:
                    self.tree.put(node, entry, self.tree.scalar(area / self.factor))

    def product(self, wavelengths: Sequence[npt.NDArray[np.float32] | None]) -> list[Piece]:
        """Return the pieces of the product."""
        status = "COMPLETE" if self.results else "SKIPPED"
        _put_status(self.primary, status)
        self.tree.put_scalar(status, "meta", "cal_step", _STATUS_NAME)
        if self.results:
            self._record_factor()
        planes: dict[tuple[str, int], npt.NDArray[Any]] = {}
        for part, result, wavelength in zip(self.source.parts, self.results, wavelengths, strict=False):
            planes.update({(name, part.version): plane for name, plane in self._planes(result, wavelength)})
        pieces = [Piece(self.primary, list), *self._extensions(planes)]
        for part in self.source.parts if self.results else ():
            self._describe_arrays(part, pieces)
        axis = 0 if self.source.mode.slice_axis == "x" else 1
        for wcs in self._nodes("wcs") if self.factor != 1 else ():
            oversample_wcs(self.tree, wcs, self.factor, axis)
        return self._with_tree(pieces, blocks=True)

    def changed(self, changed: Sequence[ChangedImage], history: str) -> list[Piece]:
        """Return the pieces of the input with planes changed."""
        self.primary.add_history(history)
        planes: dict[tuple[str, int], npt.NDArray[Any]] = {}
        for part, image in zip(self.source.parts, changed, strict=True):
            found = {"SCI": image.flux, "ERR": image.error, "DQ": image.dq, "TRACEMODEL": image.source}
            found.update({name.upper(): plane for name, plane in image.variances.items()})
            planes.update({(name, part.version): plane for name, plane in found.items() if plane is not None})
        pieces = [Piece(self.primary, list), *self._extensions(planes)]
        for part in self.source.parts:
            self._describe_arrays(part, pieces)
        return self._with_tree(pieces, blocks=True)

    def intermediate(self, plane_of: Callable[[OversampledImage], npt.NDArray[Any]]) -> list[Piece]:
        """Return the pieces of a file with one plane per image, as its SCI, and no WCS."""
        pieces = [Piece(self.primary, list)]
        tree = self.tree
        for entry, _ in tree.entries(tree.root):
            if entry not in {"asdf_library", "history", "meta", "slits"}:
                tree.remove(tree.root, entry)
        for part, result in zip(self.source.parts, self.results, strict=True):
            unit = self.source.container.require("SCI", part.version, why="which holds the flux")
            pieces.append(self._plane("SCI", part.version, plane_of(result), unit.header))
            top = tree.get(*part.path()) if part.slit is not None else tree.root
            for entry, value in tree.entries(top):
                if tree.is_array(value):
                    tree.remove(top, entry)
            tree.put(top, "data", tree.external_array("SCI", part.version, pieces[-1].datatype, pieces[-1].shape))
            tree.remove(tree.get(*part.path("meta")), "wcs")
        for node in list(tree.walk(tree.root)):  # what else lies in binary blocks goes with them
            for entry, value in tree.entries(node):
                if tree.is_array(value) and tree.number(tree.child(value, "source")) is not None:
                    tree.remove(node, entry)
        return self._with_tree(pieces, blocks=False)

    def _nodes(self, name: str) -> list[Node]:
        """Return the metadata of this name of all images, each node once: the tree may share one between slits."""
        found = (self.tree.get(*part.path("meta", name)) for part in self.source.parts)
        return list({id(node): node for node in found if node is not None}.values())

    def _record_factor(self) -> None:
        """Record the oversampling factor, of which the datamodel knows nothing; 1 for the trace alone."""
        tree = self.tree
        card = (_FACTOR, self.factor, "oversampled by this factor (pixtrace)")
        self.primary[_FACTOR] = card[1:]
        before = tree.items(tree.get("extra_fits", "PRIMARY", "header"))
        cards = [item for item in before if tree.text(tree.child(item, 0)) != _FACTOR]
        cards.append(tree.sequence([tree.scalar(item) for item in card], flow=True))
        tree.put_node(tree.sequence(cards), "extra_fits", "PRIMARY", "header")

    # -- planes

    def _planes(
        self, result: OversampledImage, wavelength: npt.NDArray[np.float32] | None
    ) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Yield the planes that are written anew, in the orientation of the computation."""
        if result.factor == 1:
            yield "TRACEMODEL", result.trace_used
            return
        yield "SCI", result.flux
        if result.error is not None:
            yield "ERR", result.error
        yield "DQ", result.dq
        if self.source.mode.geometry != "slit":
            yield "REGIONS", result.region_map
        yield "TRACEMODEL", result.trace_used
        for name, variance in result.variances.items():
            yield name.upper(), variance
        for rows, covariance in enumerate(result.covariances, start=1):
            # In a file that is turned, the next pixel along its axis is the one before.
            is_turned = self.source.mode.slice_axis == "x"
            yield f"{_COVARIANCE}{rows}", _with_those_before(covariance, rows) if is_turned else covariance
        if wavelength is not None:
            yield "WAVELENGTH", wavelength

    def _extensions(self, planes: dict[tuple[str, int], npt.NDArray[Any]]) -> Iterator[Piece]:
        """Yield the extensions, the tree apart: planes in their places, new ones behind the last of their image."""
        old = [unit for unit in self.source.container.units[1:] if unit.name != "ASDF"]
        there = {(unit.name, unit.version) for unit in old}
        last = {unit.version: unit for unit in old if (unit.name, unit.version) in planes or unit.name == "SCI"}
        for unit in old:
            key = unit.name, unit.version
            if key in planes:
                yield self._plane(*key, planes[key], unit.header)
            elif not self._is_outdated(unit):
                yield Piece(unit.header, partial(_copied, unit))
            if last.get(unit.version) is unit:
                for (name, version), plane in planes.items():
                    if version == unit.version and (name, version) not in there:
                        yield self._plane(name, version, plane, None)

    def _plane(self, name: str, version: int, plane: npt.NDArray[Any], old: Header | None) -> Piece:
        """Return the extension of a plane."""
        turned = np.rot90(plane, -1) if self.source.mode.slice_axis == "x" else plane
        piece = plane_piece(name, version, turned, old)
        self._divide_areas(piece.header)
        return piece

    def _is_outdated(self, unit: Unit) -> bool:
        """Whether an extension that is not written anew holds an image of the native pixels (areas, path losses...)."""
        if self.factor == 1 or not unit.is_image:
            return False
        sci = self.source.container.find("SCI", unit.version)
        return sci is not None and unit.shape[-2:] == sci.shape[-2:]

    def _divide_areas(self, header: Header) -> None:
        """Divide the areas of pixels in a header."""
        for keyword in _PIXEL_AREAS if self.factor != 1 else ():
            if isinstance(header.get(keyword), (int, float)):
                header[keyword] = header[keyword] / self.factor

    # -- the tree

    def _describe_arrays(self, part: Part, pieces: list[Piece]) -> None:
        """Make the tree describe the planes of one image as they are written, and forget those that are not."""
        tree = self.tree
        top = tree.get(*part.path())
        written = {piece.name: piece for piece in pieces if piece.version == part.version}
        for entry, value in tree.entries(top):
            source = tree.text(tree.child(value, "source")) or "" if tree.is_array(value) else ""
            name, _, version = source.removeprefix("fits:").partition(",")
            if source.startswith("fits:") and version == str(part.version) and name not in written:
                tree.remove(top, entry)
        for name, piece in written.items():
            if piece.datatype:
                node = tree.external_array(name, part.version, piece.datatype, piece.shape)
                if name.startswith(_COVARIANCE):
                    # Of several images in a file, the tree has room for one extension of that name.
                    if part.slit is None:
                        tree.put_node(node, "extra_fits", name, "data")
                    continue
                tree.put(top, _TREE_NAMES.get(name, name.lower()), node)

    def _with_tree(self, pieces: list[Piece], *, blocks: bool) -> list[Piece]:
        """Return the pieces with the tree behind them."""
        tree = self.tree
        extra = tree.get("extra_fits")  # extensions that the datamodel does not know
        names = {piece.name for piece in pieces}
        for entry, _ in tree.entries(extra):
            if entry not in names:
                tree.remove(extra, entry)
        tree.put(tree.root, _HASH, tree.scalar(headers_hash(pieces)))
        old = self.source.container.require("ASDF", why="which holds the WCS")
        return [*pieces, tree_piece(tree.to_bytes(blocks=blocks), old.header)]


def _with_those_before(covariance: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    """Return the covariance with the pixels `rows` rows before, given that with those further on."""
    found = np.full_like(covariance, np.nan)
    found[rows:] = covariance[:-rows]
    return found


def _copied(unit: Unit) -> list[memoryview]:
    """Return the data of a unit of the input."""
    return [unit.data]


def _put_status(header: Header, status: str) -> None:
    """Record in the primary header what became of the step, beside the other steps."""
    steps = [keyword for keyword in header if keyword.startswith("S_")]
    if _STATUS in header or not steps:
        header[_STATUS] = (status, _STATUS_COMMENT)
    else:
        header.insert(steps[-1], (_STATUS, status, _STATUS_COMMENT), after=True)
