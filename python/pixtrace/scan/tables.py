"""What was measured of each detector pixel, as columns.

`PixelTable` holds everything that a fit of the pixel maps gives, with errors; `RcpTable` the little of it that the
receiver channel parameter files of the reference (and of CRUSH before it) have room for. Both are plain arrays, one
entry per pixel, positions in arcsec; `pixtrace.io` writes and reads them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from pixtrace._arrays import as_double, check_shape
from pixtrace.exceptions import DataError, DtypeError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PIXEL_COLUMNS", "ExtraColumn", "PixelColumn", "PixelTable", "RcpTable"]

_UNKNOWN_INDEX = -1


@dataclass(frozen=True, kw_only=True)
class PixelColumn:
    """What a column of a `PixelTable` is.

    Attributes
    ----------
    name : str
        Name of the attribute and of the column in files.
    kind : {"angle", "rotation", "data", "weight", "number", "index", "count"}
        Its unit: arcsec, deg, that of the data, its inverse square, none; whole numbers with -1 or with 0 for unknown.
    description : str
        One line for the files.
    """

    name: str
    kind: Literal["angle", "rotation", "data", "weight", "number", "index", "count"]
    description: str

    @property
    def is_whole(self) -> bool:
        """Whether it holds whole numbers.

        Returns
        -------
        bool
            True for indices and counts.
        """
        return self.kind in {"index", "count"}

    @property
    def missing(self) -> float:
        """The number that stands for an unknown value.

        Returns
        -------
        float
            -1 for an index, 0 for a count, otherwise NaN.
        """
        return {"index": _UNKNOWN_INDEX, "count": 0.0}.get(self.kind, np.nan)


def _column(name: str, kind: Any, description: str) -> PixelColumn:
    return PixelColumn(name=name, kind=kind, description=description)


#: The columns of a `PixelTable` in the order of the files.
PIXEL_COLUMNS = (
    _column("fixed_index", "index", "number of the pixel in the instrument"),
    _column("row", "index", "row of the pixel on the detector; -1: unknown"),
    _column("col", "index", "column of the pixel on the detector; -1: unknown"),
    _column("x", "angle", "position offset of the pixel along x"),
    _column("x_error", "angle", "standard error of x"),
    _column("y", "angle", "position offset of the pixel along y"),
    _column("y_error", "angle", "standard error of y"),
    _column("amplitude", "data", "height of the source in the map of the pixel"),
    _column("amplitude_error", "data", "standard error of amplitude"),
    _column("gain", "number", "gain of the channel, its coupling to the source left out"),
    _column("coupling", "number", "coupling to the source, relative to the other pixels"),
    _column("coupling_error", "number", "standard error of coupling"),
    _column("fwhm_major", "angle", "full width at half maximum along the major axis"),
    _column("fwhm_major_error", "angle", "standard error of fwhm_major"),
    _column("fwhm_minor", "angle", "full width at half maximum along the minor axis"),
    _column("fwhm_minor_error", "angle", "standard error of fwhm_minor"),
    _column("angle", "rotation", "angle of the major axis, from x towards y"),
    _column("angle_error", "rotation", "standard error of angle"),
    _column("level", "data", "level of the map around the source"),
    _column("level_error", "data", "standard error of level"),
    _column("snr", "number", "signal-to-noise ratio of the source"),
    _column("chi2", "number", "sum of the squared residuals of the fit in units of their variances"),
    _column("dof", "count", "degrees of freedom of the fit"),
    _column("n_cells", "count", "number of map cells that were fitted"),
    _column("weight", "weight", "inverse variance of the map at the source"),
    _column("flag", "count", "flag word; its bits are explained by flag_meanings"),
)


def _missing() -> Any:
    """Return what stands for a column that was not given."""
    return None


def _empty() -> Mapping[Any, Any]:
    """Return a mapping that is empty and stays so."""
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtraColumn:
    """A column that not every table has, such as the sensitivity of each pixel.

    Attributes
    ----------
    values : ndarray, shape (n_pixels,)
        Numbers of any kind.
    unit : str
        Its unit as astropy spells it; empty if it has none.
    description : str
        One line for the files.
    """

    values: npt.NDArray[Any]
    unit: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        """Take anything that is an array of numbers."""
        values = np.asarray(self.values)
        if values.dtype.kind not in "fiub":
            msg = f"a column ({self.description or 'without description'}) has dtype {values.dtype}; expected numbers"
            raise DtypeError(msg)
        object.__setattr__(self, "values", values)


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelTable:
    """Everything measured of each detector pixel, one entry per pixel.

    A column that is not given holds NaN, or -1 where it is an index, or 0 where it is a count. A pixel that could not
    be measured has NaN for its position: it stays in the table, its flag word says why, and no position is made up.

    Attributes
    ----------
    fixed_index : ndarray of int64, shape (n_pixels,)
        Number of the pixel in the instrument; no number twice.
    row, col : ndarray of int64, shape (n_pixels,)
        Where it is on the detector.
    x, x_error, y, y_error : ndarray of float64, shape (n_pixels,)
        Position offset [arcsec] and its standard errors.
    amplitude, amplitude_error : ndarray of float64, shape (n_pixels,)
        Height of the source [`unit`].
    gain, coupling, coupling_error : ndarray of float64, shape (n_pixels,)
        Gain of the channel, and its coupling to the source relative to the other pixels.
    fwhm_major, fwhm_major_error, fwhm_minor, fwhm_minor_error : ndarray of float64, shape (n_pixels,)
        Full widths at half maximum [arcsec].
    angle, angle_error : ndarray of float64, shape (n_pixels,)
        Angle of the major axis, from x towards y [deg].
    level, level_error : ndarray of float64, shape (n_pixels,)
        Level of the map around the source [`unit`].
    snr : ndarray of float64, shape (n_pixels,)
        Signal-to-noise ratio of the source.
    chi2 : ndarray of float64, shape (n_pixels,)
        Sum of the squared residuals of the fit, in units of their variances.
    dof, n_cells : ndarray of int64, shape (n_pixels,)
        Degrees of freedom, and number of cells that were fitted.
    weight : ndarray of float64, shape (n_pixels,)
        Inverse variance of the map at the source [`unit`^-2].
    flag : ndarray of int64, shape (n_pixels,)
        Flag word.
    unit : str
        Unit of the data as astropy spells it; empty if it is unknown.
    flag_meanings : mapping of int to str
        What each bit of the flag word means, by its value (1, 2, 4, ...).
    meta : mapping of str to str, int, float or bool
        Whatever else belongs with the table: instrument, scan, object, ...
    extra : mapping of str to ExtraColumn
        Further columns.

    Raises
    ------
    ShapeError
        The columns do not have the same length.
    DtypeError
        A column does not hold numbers, or not whole ones where they must be.
    DataError
        A pixel has two rows, or no number.
    """

    fixed_index: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64] = field(default_factory=_missing)
    col: npt.NDArray[np.int64] = field(default_factory=_missing)
    x: npt.NDArray[np.float64] = field(default_factory=_missing)
    x_error: npt.NDArray[np.float64] = field(default_factory=_missing)
    y: npt.NDArray[np.float64] = field(default_factory=_missing)
    y_error: npt.NDArray[np.float64] = field(default_factory=_missing)
    amplitude: npt.NDArray[np.float64] = field(default_factory=_missing)
    amplitude_error: npt.NDArray[np.float64] = field(default_factory=_missing)
    gain: npt.NDArray[np.float64] = field(default_factory=_missing)
    coupling: npt.NDArray[np.float64] = field(default_factory=_missing)
    coupling_error: npt.NDArray[np.float64] = field(default_factory=_missing)
    fwhm_major: npt.NDArray[np.float64] = field(default_factory=_missing)
    fwhm_major_error: npt.NDArray[np.float64] = field(default_factory=_missing)
    fwhm_minor: npt.NDArray[np.float64] = field(default_factory=_missing)
    fwhm_minor_error: npt.NDArray[np.float64] = field(default_factory=_missing)
    angle: npt.NDArray[np.float64] = field(default_factory=_missing)
    angle_error: npt.NDArray[np.float64] = field(default_factory=_missing)
    level: npt.NDArray[np.float64] = field(default_factory=_missing)
    level_error: npt.NDArray[np.float64] = field(default_factory=_missing)
    snr: npt.NDArray[np.float64] = field(default_factory=_missing)
    chi2: npt.NDArray[np.float64] = field(default_factory=_missing)
    dof: npt.NDArray[np.int64] = field(default_factory=_missing)
    n_cells: npt.NDArray[np.int64] = field(default_factory=_missing)
    weight: npt.NDArray[np.float64] = field(default_factory=_missing)
    flag: npt.NDArray[np.int64] = field(default_factory=_missing)
    unit: str = ""
    flag_meanings: Mapping[int, str] = field(default_factory=_empty)
    meta: Mapping[str, Any] = field(default_factory=_empty)
    extra: Mapping[str, ExtraColumn] = field(default_factory=_empty)

    def __post_init__(self) -> None:
        """Bring the columns to their types and one length, and fill in those that were not given."""
        index = _whole(self.fixed_index, "fixed_index")
        for column in PIXEL_COLUMNS:
            given = getattr(self, column.name)
            if given is None:
                values: Any = np.full(index.shape, column.missing, np.int64 if column.is_whole else np.float64)
            else:
                values = _whole(given, column.name) if column.is_whole else as_double(given, column.name, ndim=1)
            check_shape(values, index.shape, column.name, "fixed_index")
            object.__setattr__(self, column.name, values)
        known = {column.name for column in PIXEL_COLUMNS}
        for name, extra in self.extra.items():
            if name in known:
                msg = f"extra column `{name}`: the table has a column of that name; choose another one"
                raise ParameterError(msg)
            check_shape(extra.values, index.shape, name, "fixed_index")
        _check_indices(index)

    @property
    def n_pixels(self) -> int:
        """Number of pixels.

        Returns
        -------
        int
            Number of rows.
        """
        return len(self.fixed_index)

    @property
    def is_measured(self) -> npt.NDArray[np.bool_]:
        """Which pixels have a position.

        Returns
        -------
        ndarray of bool, shape (n_pixels,)
            False where x or y is not finite.
        """
        return np.isfinite(self.x) & np.isfinite(self.y)

    def but(self, **changes: Any) -> PixelTable:
        """Return a copy with some attributes changed.

        Parameters
        ----------
        **changes : object
            Attributes by name.

        Returns
        -------
        PixelTable
            The other table; columns that were not changed are shared.
        """
        return dataclasses.replace(self, **changes)

    def to_rcp(self) -> RcpTable:
        """Return what a receiver channel parameter file has room for.

        Pixels without position, coupling or gain count as unmeasured. A table in which no pixel has a gain is written
        with gains of 1, so that the point gain is the coupling.

        Returns
        -------
        RcpTable
            Positions, and gains to a point source and to the sky.
        """
        gain = self.gain if np.isfinite(self.gain).any() else np.ones(self.n_pixels)
        point_gain = gain * self.coupling
        good = self.is_measured & np.isfinite(point_gain) & np.isfinite(gain)
        return RcpTable(
            fixed_index=self.fixed_index[good],
            x=self.x[good],
            y=self.y[good],
            point_gain=point_gain[good],
            sky_gain=gain[good],
            unmeasured=self.fixed_index[~good],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RcpTable:
    """Positions and gains of pixels, as receiver channel parameter files (``.rcp``) hold them.

    Attributes
    ----------
    fixed_index : ndarray of int64, shape (n_pixels,)
        Number of each measured pixel in the instrument.
    x, y : ndarray of float64, shape (n_pixels,)
        Position offset [arcsec]; finite.
    point_gain : ndarray of float64, shape (n_pixels,)
        Gain to a point source, which is gain times coupling; NaN if the file does not tell.
    sky_gain : ndarray of float64, shape (n_pixels,)
        Gain to the sky; NaN if the file does not tell.
    unmeasured : ndarray of int64, shape (n_unmeasured,)
        Numbers of pixels that are named but have no position.
    header : tuple of str
        Lines of comment at the head of the file.

    Raises
    ------
    ShapeError
        The columns do not have the same length.
    DtypeError
        A column does not hold numbers.
    DataError
        A position is not finite, a gain is infinite, or a pixel has two rows or a negative number.
    """

    fixed_index: npt.NDArray[np.int64]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    point_gain: npt.NDArray[np.float64] = field(default_factory=_missing)
    sky_gain: npt.NDArray[np.float64] = field(default_factory=_missing)
    unmeasured: npt.NDArray[np.int64] = field(default_factory=_missing)
    header: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Bring the columns to their types and one length, and fill in those that were not given."""
        index = _whole(self.fixed_index, "fixed_index")
        object.__setattr__(self, "fixed_index", index)
        for name in ("x", "y", "point_gain", "sky_gain"):
            given = getattr(self, name)
            values = np.full(index.shape, np.nan) if given is None else as_double(given, name, ndim=1)
            check_shape(values, index.shape, name, "fixed_index")
            object.__setattr__(self, name, values)
        bad = np.flatnonzero(~(np.isfinite(self.x) & np.isfinite(self.y)))
        if bad.size:
            at = bad[0]
            msg = (
                f"pixel {index[at]} has the position ({self.x[at]}, {self.y[at]}); a pixel without position belongs "
                "among `unmeasured`"
            )
            raise DataError(msg)
        bad = np.flatnonzero(np.isinf(self.point_gain) | np.isinf(self.sky_gain))
        if bad.size:
            msg = f"pixel {index[bad[0]]} has an infinite gain; expected a number, or NaN if it is unknown"
            raise DataError(msg)
        unmeasured: Any = self.unmeasured
        others = np.empty(0, np.int64) if unmeasured is None else _whole(unmeasured, "unmeasured")
        object.__setattr__(self, "unmeasured", others)
        object.__setattr__(self, "header", tuple(self.header))
        _check_indices(np.concatenate([index, others]))

    @property
    def coupling(self) -> npt.NDArray[np.float64]:
        """Coupling to the source.

        Returns
        -------
        ndarray of float64, shape (n_pixels,)
            Point gain over sky gain; NaN where either is unknown or the sky gain is zero.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.sky_gain == 0, np.nan, self.point_gain / self.sky_gain)


def _whole(values: npt.ArrayLike, name: str) -> npt.NDArray[np.int64]:
    """Return whole numbers as int64, one-dimensional."""
    array = np.asarray(values)
    if array.size and (array.dtype.kind not in "iub" or (array.dtype.kind == "u" and array.max() > np.iinfo("i8").max)):
        msg = f"`{name}` has dtype {array.dtype}; expected whole numbers of at most 63 bits"
        raise DtypeError(msg)
    whole = array.astype(np.int64, copy=False)
    check_shape(whole, (whole.size,), name, "a column")
    return whole


def _check_indices(index: npt.NDArray[np.int64]) -> None:
    """Raise `DataError` unless every pixel has a number of its own, from 0 on."""
    numbers, counts = np.unique(index, return_counts=True)
    if numbers.size and numbers[0] < 0:
        msg = f"`fixed_index` holds {numbers[0]}; the numbers of pixels count from 0"
        raise DataError(msg)
    if (counts > 1).any():
        at = int(np.argmax(counts > 1))
        msg = f"`fixed_index` holds {numbers[at]} {counts[at]} times; expected each pixel once"
        raise DataError(msg)
