"""From the extensions of a JWST file to images that can be fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError, FileReadError, PixtraceError
from pixtrace.io.jwst.geometry import IfuGeometry, SlitGeometry, boxes, evaluate, finer, mrs_geometry
from pixtrace.io.jwst.gwcs_model import GwcsFile, GwcsModel
from pixtrace.io.jwst.modes import mode_of
from pixtrace.io.jwst.tree import AsdfTree, check_extra
from pixtrace.io.jwst.units import is_flux_density
from pixtrace.io.jwst.wcs import bounding_box_of, oversampled_by, steps_of
from pixtrace.trace.image import SpectralImage

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.io.jwst.container import FitsContainer, Unit
    from pixtrace.io.jwst.geometry import Box, Geometry
    from pixtrace.io.jwst.product import Part
    from pixtrace.io.jwst.tree import Node
    from pixtrace.trace.series_cube import SpectralSeries

__all__ = ["PLANES", "ImageReader", "OpenedImage"]

_VARIANCES = ("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")
#: Extensions that are read.
PLANES = ("SCI", "ERR", "DQ", "REGIONS", *_VARIANCES)
_WHY_SCI = "which holds the flux"
_WHY_ASDF = "which holds the WCS; run the assign_wcs step of jwst first"
#: How far the scale of a WCS may be from 1, by rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """One image of a file and where its slices lie.

    Attributes
    ----------
    image : SpectralImage
        The image.
    geometry : Geometry
        Coordinates in it.
    regions : dict of int to (slice, slice)
        Rows and columns over which each region reaches.
    is_cube : bool
        Whether it is the median of a time series.
    """

    image: SpectralImage
    geometry: Geometry
    regions: dict[int, Box]
    is_cube: bool


class ImageReader:
    """Reads the images of a file.

    Parameters
    ----------
    container : FitsContainer
        The file.

    Raises
    ------
    FileReadError
        It has no tree.
    UnsupportedModeError
        There is no trace model for its mode.
    MissingExtraError
        A package of the extra ``jwst`` is not installed.
    """

    def __init__(self, container: FitsContainer) -> None:
        check_extra()
        self.container = container
        self.mode = mode_of(container)
        where = f"{container.path}, extension ASDF"
        self.tree = AsdfTree(container.require("ASDF", why=_WHY_ASDF).data, where)
        self._gwcs: GwcsFile | None = None

    def read(self, part: Part) -> OpenedImage:
        """Return one image of the file.

        Parameters
        ----------
        part : Part
            Which one.

        Returns
        -------
        OpenedImage
            The image.

        Raises
        ------
        FileReadError
            An extension or the WCS is missing.
        DataError
            It has been oversampled already, or its planes do not fit together.
        """
        where, (sci, geometry, labels, regions, alpha) = self._where(part), self._located(part)
        is_cube = len(sci.shape) > 2  # noqa: PLR2004 - integrations, rows, columns
        try:
            image = self._image(part, sci, labels, alpha, is_cube=is_cube)
        except PixtraceError as error:
            msg = f"{where} and what belongs to it: {error}"
            raise type(error)(msg) from error
        return OpenedImage(image, geometry, regions, is_cube)

    def read_series(self, part: Part) -> tuple[SpectralSeries, OpenedImage]:
        """Return one time series of the file, none of whose cubes is read before it is needed.

        Parameters
        ----------
        part : Part
            Which one.

        Returns
        -------
        series : SpectralSeries
            The series.
        opened : OpenedImage
            Its first integration, for `fine_planes`.

        Raises
        ------
        FileReadError, DataError
            As for `read`; DataError also if it is no time series.
        """
        from pixtrace.io.series.cube import FileCube
        from pixtrace.trace.series_cube import SpectralSeries

        where, (sci, geometry, labels, regions, alpha) = self._where(part), self._located(part)
        if len(sci.shape) < 3:  # noqa: PLR2004 - integrations, rows, columns
            msg = f"{where} has shape {sci.shape}; expected a time series: integrations, rows and columns"
            raise DataError(msg)
        slit = None if part.slit is None else self.tree.text(self.tree.get(*part.path("name")))

        def cube(name: str) -> FileCube | None:
            unit = self.container.find(name, part.version)
            if unit is None or not unit.data:
                return None
            return FileCube(unit, self._orient, sci.shape[0], None if name == "DQ" else np.float32)

        try:
            series = SpectralSeries(
                flux=FileCube(sci, self._orient, sci.shape[0], np.float32),
                error=cube("ERR"),
                dq=cube("DQ"),
                variances={name.lower(): found for name in _VARIANCES if (found := cube(name)) is not None},
                alpha=alpha,
                region_map=labels,
                flipped=self._turns,
                flux_is_density=is_flux_density(str(sci.header.get("BUNIT", ""))),
                name=slit or f"SCI,{part.version}",
            )
            first = series.image(series.read(0, 1).flux[0], None)
        except PixtraceError as error:
            msg = f"{where} and what belongs to it: {error}"
            raise type(error)(msg) from error
        return series, OpenedImage(first, geometry, regions, is_cube=True)

    def _where(self, part: Part) -> str:
        """Return how messages call an image."""
        return f"{self.container.path}, extension SCI,{part.version}"

    def _located(
        self, part: Part
    ) -> tuple[Unit, Geometry, npt.NDArray[np.int32], dict[int, Box], npt.NDArray[np.float64]]:
        """Return the flux of an image, and where its slices lie: geometry, labels, boxes, alpha."""
        sci = self.container.require("SCI", part.version, why=_WHY_SCI)
        where = self._where(part)
        if len(sci.shape) not in {2, 3}:
            msg = f"{where} has shape {sci.shape}; expected rows and columns, or integrations, rows and columns"
            raise DataError(msg)
        wcs = self._wcs(part)
        self._refuse_oversampled(wcs)
        geometry = self._geometry(part, wcs, sci)
        labels = geometry.labels()
        if (labels.shape[::-1] if self._turns else labels.shape) != sci.shape[-2:]:
            expected = labels.shape[::-1] if self._turns else labels.shape
            msg = f"{where} has shape {sci.shape}; the map of its slices has {expected}"
            raise DataError(msg)
        regions = boxes(labels)
        along = self.file_pixels(np.arange(labels.shape[0], dtype=np.float64), labels.shape[0])
        alpha, _ = evaluate(geometry, self.mode, labels, regions, along, want_wavelength=False)
        return sci, geometry, labels, regions, alpha

    def fine_planes(
        self, opened: OpenedImage, factor: float
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        """Return along-slice coordinate and wavelength at the centres of oversampled pixels.

        Parameters
        ----------
        opened : OpenedImage
            The image.
        factor : float
            Oversampling factor, at least 1.

        Returns
        -------
        alpha : ndarray of float64, shape (ceil(n_y * factor), n_x)
            In the unit of the image's alpha; NaN outside the regions.
        wavelength : ndarray of float32, shape (ceil(n_y * factor), n_x)
            In um; NaN outside the regions.
        """
        from pixtrace.trace.oversample import fine_rows, nearest_rows

        image = opened.image
        n_rows = image.shape[0]
        nearest = nearest_rows(n_rows, factor, flipped=image.flipped)
        along = self.file_pixels(fine_rows(n_rows, factor, flipped=image.flipped), n_rows)
        labels = image.region_map[nearest]
        regions = finer(opened.regions, nearest)
        alpha, wavelength = evaluate(opened.geometry, self.mode, labels, regions, along, want_wavelength=True)
        if wavelength is None:  # asked for, and so there
            wavelength = np.full(labels.shape, np.nan, dtype=np.float32)
        return alpha, wavelength

    def file_pixels(self, rows: npt.NDArray[np.float64], n_rows: int) -> npt.NDArray[np.float64]:
        """Return the pixel numbers of the file that belong to rows of an image of `n_rows` rows."""
        return n_rows - 1 - rows if self._turns else rows

    @property
    def _turns(self) -> bool:
        """Whether images are turned by a quarter for the computation, so that the slices lie along axis 0: MIRI."""
        return self.mode.slice_axis == "x"

    def _orient(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a plane of the file in the orientation of the computation."""
        return np.rot90(plane, axes=(-2, -1)) if self._turns else plane

    def _wcs(self, part: Part) -> Node:
        """Return the WCS of an image, as a node."""
        wcs = self.tree.get(*part.path("meta", "wcs"))
        if not steps_of(self.tree, wcs):
            where = "" if part.slit is None else f" for slit {part.slit + 1}"
            msg = f"{self.tree.where}: there is no WCS{where} (meta.wcs); run the assign_wcs step of jwst first"
            raise FileReadError(msg)
        return wcs

    def _refuse_oversampled(self, wcs: Node) -> None:
        """Complain about an image whose pixels are finer than those of the detector."""
        factor = oversampled_by(self.tree, wcs)
        if abs(factor - 1) > _ROUNDING:
            msg = (
                f"{self.container.path} has been oversampled already, by {factor:.6g} (frame 'coordinates' of the WCS "
                "in extension ASDF); give the exposure it was made from"
            )
            raise DataError(msg)

    def _geometry(self, part: Part, wcs: Node, sci: Unit) -> Geometry:
        """Return where the slices of an image lie."""
        if self.mode.geometry == "mrs":
            fast = mrs_geometry(self.tree, wcs, self._orient)
            if fast is not None:
                return fast
        if self._gwcs is None:
            self._gwcs = GwcsFile(self.tree)
        model = GwcsModel(self._gwcs.wcs(part.slit), self.mode, self.tree.where)
        if self.mode.geometry == "slit":
            box = bounding_box_of(self.tree, steps_of(self.tree, wcs)[0].transform)
            return SlitGeometry((sci.shape[-2], sci.shape[-1]), model, box, self._orient)
        regions = self.container.find("REGIONS", part.version) if self.mode.geometry == "ifu" else None
        labels = model.label_map if regions is None else regions.array()
        if labels is None:
            msg = (
                f"{self.container.path}: there is no extension REGIONS, which says where the slices are, and the WCS "
                "does not either; run the assign_wcs step of jwst 2.0 or later"
            )
            raise FileReadError(msg)
        return IfuGeometry(np.ascontiguousarray(self._orient(labels), dtype=np.int32), model, self.tree.where)

    def _plane(self, name: str, version: int) -> npt.NDArray[Any] | None:
        """Return a plane in the orientation of the computation, in machine byte order; None if it is not there.

        Whatever the file holds becomes float32, data quality apart: that is how the datamodels define these planes, and
        the precision of the flux decides on the knots.
        """
        unit = self.container.find(name, version)
        if unit is None or not unit.data:
            return None
        array = self._orient(unit.array())
        with np.errstate(over="ignore"):  # a float64 beyond the range of float32
            return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=") if name == "DQ" else np.float32)

    def _image(
        self,
        part: Part,
        sci: Unit,
        labels: npt.NDArray[np.int32],
        alpha: npt.NDArray[np.float64],
        *,
        is_cube: bool,
    ) -> SpectralImage:
        """Return the planes of an image, put together."""
        slit = None if part.slit is None else self.tree.text(self.tree.get(*part.path("name")))
        planes: dict[str, Any] = {
            "flux": self._plane("SCI", part.version),
            "error": self._plane("ERR", part.version),
            "alpha": alpha,
            "region_map": labels,
            "flipped": self._turns,
            "flux_is_density": is_flux_density(str(sci.header.get("BUNIT", ""))),
            "name": slit or f"SCI,{part.version}",
        }
        if is_cube:
            return SpectralImage.from_cube(**planes)
        variances = {name.lower(): self._plane(name, part.version) for name in _VARIANCES}
        planes["variances"] = {key: plane for key, plane in variances.items() if plane is not None}
        return SpectralImage(**planes, dq=self._plane("DQ", part.version))
