"""The planes of one spectral image, checked once, so that nothing downstream has to check them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pixtrace._arrays import as_count, as_flag, as_floating, as_labels, as_machine_order, check_shape
from pixtrace.exceptions import DataError, DtypeError, ParameterError, ShapeError

if TYPE_CHECKING:
    from typing import Self

    import numpy.typing as npt

__all__ = ["DO_NOT_USE", "FLUX_ESTIMATED", "DqPlane", "FloatPlane", "LabelPlane", "SpectralImage", "check_image"]

FloatPlane: TypeAlias = "npt.NDArray[np.floating[Any]]"
DqPlane: TypeAlias = "npt.NDArray[np.uint32]"
LabelPlane: TypeAlias = "npt.NDArray[np.int32]"

#: Data-quality bit of a pixel that must not be used (JWST pixel flag DO_NOT_USE).
DO_NOT_USE = 1
#: Data-quality bit of a pixel whose flux comes from the trace model, not from a measurement (FLUX_ESTIMATED).
FLUX_ESTIMATED = 1 << 28


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SpectralImage:
    """One spectral image: flux with what belongs to it, dispersion along axis 1, slices or slits along axis 0.

    Arrays of any layout and byte order are taken, read-only ones too, and are never written to; where one has to be
    converted it is copied. The planes are checked on construction.

    Attributes
    ----------
    flux : ndarray, shape (n_y, n_x)
        Data, any unit. float32 and float64 are kept, and the fit follows their precision; float16 becomes float32,
        integers become float64. NaN (and infinity) mark missing pixels, and so do masked elements.
    alpha : ndarray, shape (n_y, n_x)
        Coordinate along the slice [arcsec, or any one unit], kept as float64. NaN outside the regions.
    region_map : ndarray of int, shape (n_y, n_x)
        Number of the slice or slit, kept as int32. Pixels with 0 or a negative number lie in no region.
    error : ndarray, shape (n_y, n_x), optional
        Standard deviation of the flux, in its unit, converted to its precision. NaN, zero or negative where unknown.
    dq : ndarray of int, shape (n_y, n_x), optional
        Data-quality bits, kept as uint32; only `DO_NOT_USE` is looked at. Without it, missing flux alone is bad.
    wavelength : ndarray, shape (n_y, n_x), optional
        Wavelength of each pixel [um, or any unit], kept as float64.
    variances : mapping of str to ndarray, optional
        Variances by name (``"var_poisson"``, ...), in the square of the unit of flux and in the precision of flux.
    flipped : bool, optional
        Axis 0 runs against the pixel numbers of the file (MIRI after its quarter turn): an oversampled grid is then
        anchored at the far end, which matters where ``n_y * factor`` is not an integer.
    flux_is_density : bool, optional
        The flux is an amount per pixel (Jy per pixel, DN) rather than a surface brightness: pixels cut into N parts
        then hold 1/N of it each, and every oversampled plane is divided by N.
    n_integrations : int, optional
        Number of integrations whose median `flux` is; with more than one only the trace (factor 1) can be made.
    name : str, optional
        Name for messages, such as ``"SCI,3"`` or that of the slit.

    Raises
    ------
    ShapeError
        A plane is not two-dimensional, has no pixel, or does not have the shape of the flux.
    DtypeError
        A plane holds complex numbers, objects or text, or numbers that are not whole for labels and bits.
    DataError
        A data-quality value does not fit into 32 bits.
    ParameterError
        A label does not fit into 32 bits, or `n_integrations` is less than 1.
    """

    flux: FloatPlane
    alpha: npt.NDArray[np.float64]
    region_map: LabelPlane
    error: FloatPlane | None = None
    dq: DqPlane | None = None
    wavelength: npt.NDArray[np.float64] | None = None
    variances: Mapping[str, FloatPlane] = field(default_factory=dict)
    flipped: bool = False
    flux_is_density: bool = False
    n_integrations: int = 1
    name: str = ""

    def __post_init__(self) -> None:
        """Check and convert the planes."""
        where = f" of image {self.name!r}" if self.name else ""
        flux = _float_plane(self.flux, "flux", where)
        if flux.size == 0:
            msg = f"`flux{where}` has shape {flux.shape}; expected at least one pixel"
            raise ShapeError(msg)
        planes: dict[str, Any] = {
            "n_integrations": as_count(self.n_integrations, f"n_integrations{where}", least=1),
            "flipped": as_flag(self.flipped, f"flipped{where}"),
            "flux_is_density": as_flag(self.flux_is_density, f"flux_is_density{where}"),
        }
        planes |= {
            "alpha": _float_plane(self.alpha, "alpha", where, np.float64),
            "region_map": _label_plane(self.region_map, where),
            "error": None if self.error is None else _float_plane(self.error, "error", where, flux.dtype),
            "dq": None if self.dq is None else _dq_plane(self.dq, where),
            "wavelength": None
            if self.wavelength is None
            else _float_plane(self.wavelength, "wavelength", where, np.float64),
        }
        variances = {
            key: _float_plane(plane, key, where, flux.dtype) for key, plane in _named(self.variances, where).items()
        }
        for key, plane in (*planes.items(), *variances.items()):
            if isinstance(plane, np.ndarray):
                check_shape(plane, flux.shape, f"{key}{where}", "flux")
        planes.update(flux=flux, variances=variances)
        for key, value in planes.items():
            object.__setattr__(self, key, value)

    def __repr__(self) -> str:
        optional = [key for key in ("error", "dq", "wavelength") if getattr(self, key) is not None]
        planes = ", ".join(["flux", "alpha", "region_map", *optional, *self.variances])
        n_y, n_x = self.flux.shape
        name = f" {self.name!r}" if self.name else ""
        return f"<SpectralImage{name}: {n_y} x {n_x} pixels, {self.flux.dtype}, {len(self.regions)} regions; {planes}>"

    @classmethod
    def from_arrays(
        cls,
        flux: npt.ArrayLike,
        alpha: npt.ArrayLike,
        region_map: npt.ArrayLike,
        *,
        error: npt.ArrayLike | None = None,
        dq: npt.ArrayLike | None = None,
        wavelength: npt.ArrayLike | None = None,
        variances: Mapping[str, npt.ArrayLike] | None = None,
        dispersion_axis: int = 1,
        flux_is_density: bool = False,
        name: str = "",
    ) -> Self:
        """Return an image made from anything that numpy can take as an array.

        Parameters
        ----------
        flux, alpha, region_map : array_like, shape (n_y, n_x), or (n_x, n_y) with ``dispersion_axis=0``
            See the class.
        error, dq, wavelength : array_like, optional
            See the class; of the same shape.
        variances : mapping of str to array_like, optional
            See the class; of the same shape.
        dispersion_axis : {1, 0}, optional
            Axis of the arrays along which the light is dispersed. With 0 all planes are transposed (without a copy);
            transpose the results to get back.
        flux_is_density : bool, optional
            See the class.
        name : str, optional
            See the class.

        Returns
        -------
        SpectralImage
            The image.

        Raises
        ------
        ShapeError, DtypeError, DataError, ParameterError
            See the class; ParameterError also for a `dispersion_axis` other than 0 and 1.
        """
        if dispersion_axis not in {0, 1}:
            msg = f"dispersion_axis = {dispersion_axis}; it must be 0 or 1"
            raise ParameterError(msg)

        def turned(plane: npt.ArrayLike | None) -> Any:  # noqa: ANN401 - the constructor checks what it is
            if plane is None:
                return None
            array = np.asanyarray(plane)
            return array.T if dispersion_axis == 0 else array

        return cls(
            flux=turned(flux),
            alpha=turned(alpha),
            region_map=turned(region_map),
            error=turned(error),
            dq=turned(dq),
            wavelength=turned(wavelength),
            variances={key: turned(plane) for key, plane in (variances or {}).items()},
            flux_is_density=flux_is_density,
            name=name,
        )

    @classmethod
    def from_cube(
        cls,
        flux: npt.ArrayLike,
        alpha: npt.ArrayLike,
        region_map: npt.ArrayLike,
        *,
        error: npt.ArrayLike | None = None,
        wavelength: npt.ArrayLike | None = None,
        flipped: bool = False,
        flux_is_density: bool = False,
        name: str = "",
    ) -> Self:
        """Return the median image of a time series; only its trace (factor 1) can be made.

        Parameters
        ----------
        flux : array_like, shape (n_integrations, n_y, n_x)
            Integrations. Each pixel gets the median of its finite values, NaN if it has none.
        alpha, region_map : array_like, shape (n_y, n_x)
            See the class.
        error : array_like, shape (n_integrations, n_y, n_x), optional
            Their errors, treated alike.
        wavelength : array_like, shape (n_y, n_x), optional
            See the class.
        flipped, flux_is_density : bool, optional
            See the class.
        name : str, optional
            See the class.

        Returns
        -------
        SpectralImage
            The median image.

        Raises
        ------
        ShapeError
            A cube has not three dimensions or no integration, or the planes differ in shape.
        DtypeError, DataError
            See the class.
        """
        where = f" of image {name!r}" if name else ""
        medians: dict[str, FloatPlane | None] = {"flux": None, "error": None}
        n_integrations = 0
        for key, values in (("flux", flux), ("error", error)):
            if values is None:
                continue
            cube = _float_plane(values, key, where, ndim=3)
            if cube.size == 0:
                msg = f"`{key}{where}` has shape {cube.shape}; expected at least one integration and one pixel"
                raise ShapeError(msg)
            medians[key] = _median_of_finite(cube)
            n_integrations = n_integrations or cube.shape[0]
        planes: dict[str, Any] = {"alpha": alpha, "region_map": region_map, "wavelength": wavelength, **medians}
        return cls(
            **planes,
            flipped=flipped,
            flux_is_density=flux_is_density,
            n_integrations=n_integrations,
            name=name,
        )

    @property
    def label(self) -> str:
        """How messages call it.

        Returns
        -------
        str
            Such as "image 'S200A1'", or "the image" if it has no name.
        """
        return f"image {self.name!r}" if self.name else "the image"

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of every plane.

        Returns
        -------
        tuple of int
            (n_y, n_x).
        """
        return (int(self.flux.shape[0]), int(self.flux.shape[1]))

    @property
    def regions(self) -> tuple[int, ...]:
        """Numbers of the slices or slits.

        Returns
        -------
        tuple of int
            Ascending; empty if the image has none.
        """
        labels = np.unique(self.region_map)
        return tuple(int(label) for label in labels[labels > 0])


def check_image(image: object) -> None:
    """Complain about an image that is something else.

    Parameters
    ----------
    image : object
        What was given for one.

    Raises
    ------
    ParameterError
        It is no SpectralImage.
    """
    if not isinstance(image, SpectralImage):
        msg = f"`image` is a {type(image).__name__}; expected a SpectralImage"
        raise ParameterError(msg)


def _median_of_finite(cube: FloatPlane) -> FloatPlane:
    """Return the median over axis 0, row by row so that no second cube is needed; NaN where nothing is finite."""
    median = np.full(cube.shape[1:], np.nan, dtype=cube.dtype)
    for row in range(cube.shape[1]):
        values = cube[:, row, :]
        values = np.where(np.isfinite(values), values, np.nan)
        seen = ~np.all(np.isnan(values), axis=0)
        median[row, seen] = np.nanmedian(values[:, seen], axis=0)
    return median


def _named(planes: object, where: str) -> Mapping[str, Any]:
    """Return planes by name."""
    if not isinstance(planes, Mapping):
        msg = f"`variances{where}` is a {type(planes).__name__}; expected a mapping of names to planes"
        raise ParameterError(msg)
    return planes


def _float_plane(
    values: npt.ArrayLike, what: str, where: str, dtype: npt.DTypeLike | None = None, *, ndim: int = 2
) -> FloatPlane:
    """Return `values` as native floats, masked elements as NaN."""
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "iu":
        values = values.astype(np.float64)
    with np.errstate(over="ignore"):  # a float64 beyond the range of float32 becomes infinite, and so a missing pixel
        return as_floating(values, f"{what}{where}", ndim=ndim, dtype=dtype)


def _label_plane(values: npt.ArrayLike, where: str) -> LabelPlane:
    """Return region numbers as int32, masked ones as 0."""
    return as_labels(values.filled(0) if isinstance(values, np.ma.MaskedArray) else values, f"region_map{where}")


def _dq_plane(values: npt.ArrayLike, where: str) -> DqPlane:
    """Return data-quality bits as uint32; an int32 array is taken bit by bit, as FITS files may hold it."""
    array = np.asanyarray(values)
    if array.dtype.kind not in "iub":
        msg = f"`dq{where}` has dtype {array.dtype}; expected integers (bits)"
        raise DtypeError(msg)
    array = np.asarray(array.filled(DO_NOT_USE) if isinstance(array, np.ma.MaskedArray) else array)
    if array.size and array.dtype.itemsize > 4:  # noqa: PLR2004 - more than 32 bits
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= 1 << 32:
            msg = f"`dq{where}` has values from {low} to {high}; expected 32 bits"
            raise DataError(msg)
    return as_machine_order(array.astype(np.uint32, copy=False))
