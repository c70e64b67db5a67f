"""The finer grid: its rows, and planes on it that are interpolated without a model."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np

from pixtrace import _native
from pixtrace._arrays import as_count, as_double, as_flag, as_floating, as_labels, as_real
from pixtrace.exceptions import MemoryLimitError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["alpha_on_grid", "check_memory", "fine_rows", "linear_oversample", "linear_planes", "nearest_rows"]


def linear_oversample(
    data: npt.ArrayLike,
    region_map: npt.ArrayLike,
    oversample_factor: float,
    require_ngood: int,
    edge_limit: int = 0,
    preserve_nan: bool = True,  # noqa: FBT001, FBT002 - the signature of the reference
) -> npt.NDArray[np.float32]:
    """Interpolate an image linearly along the columns of each region.

    Parameters
    ----------
    data : array_like, shape (n_y, n_x)
        Any plane, for example errors. NaN and infinities are missing data.
    region_map : array_like of int, shape (n_y, n_x)
        Number of the slice or slit of each pixel; zero and below are between regions.
    oversample_factor : float
        Fine pixels per native pixel; finite and at least 1.
    require_ngood : int
        Leave columns NaN that do not have more finite pixels than this.
    edge_limit : int
        Number of fine pixels to blank at each end of a column.
    preserve_nan : bool
        Whether fine pixels are NaN where the native pixel under their centre is; otherwise gaps are bridged, and the
        outermost finite values hold beyond.

    Returns
    -------
    ndarray of float32, shape (ceil(n_y * oversample_factor), n_x)
        The interpolated plane, NaN outside of the regions.

    Raises
    ------
    ShapeError, DtypeError, ParameterError, MemoryLimitError
        As in `oversample_flux`.
    """
    return linear_planes(
        data, region_map, oversample_factor, require_ngood, edge_limit=edge_limit, preserve_nan=preserve_nan
    )


def linear_planes(
    data: npt.ArrayLike,
    region_map: npt.ArrayLike,
    factor: float,
    require_ngood: int,
    *,
    edge_limit: int = 0,
    preserve_nan: bool = True,
    flipped: bool = False,
    n_threads: int | None = None,
) -> npt.NDArray[np.float32]:
    """Interpolate a plane as `linear_oversample` does, on a grid that may be `flipped` (see `oversample_planes`)."""
    check_memory(data, factor, itemsize=4, n_planes=1)
    return _native.linear_oversample(
        as_floating(data, "data"),
        as_labels(region_map, "region_map"),
        as_real(factor, "oversample_factor"),
        as_count(require_ngood, "require_ngood"),
        edge_limit=as_count(edge_limit, "edge_limit"),
        preserve_nan=as_flag(preserve_nan, "preserve_nan"),
        flipped=bool(flipped),
        n_threads=None if n_threads is None else as_count(n_threads, "n_threads", least=1),
    )


def fine_rows(n_rows: int, factor: float, *, flipped: bool = False) -> npt.NDArray[np.float64]:
    """Return the native row coordinate of the centre of each fine row.

    Parameters
    ----------
    n_rows : int
        Number of native rows.
    factor : float
        Fine rows per native row; finite and at least 1.
    flipped : bool
        As in `oversample_planes`.

    Returns
    -------
    ndarray of float64, shape (ceil(n_rows * factor),)
        ``(m + 0.5) / factor - 0.5``; pixel centres are whole numbers.
    """
    return _native.fine_rows(as_count(n_rows, "n_rows"), as_real(factor, "oversample_factor"), flipped=flipped)


def nearest_rows(n_rows: int, factor: float, *, flipped: bool = False) -> npt.NDArray[np.int64]:
    """Return the native row that the centre of each fine row lies in (of two, the even one).

    ``dq[nearest_rows(...)]`` is a flag or label image on the finer grid. Parameters are those of `fine_rows`.
    """
    return _native.nearest_rows(as_count(n_rows, "n_rows"), as_real(factor, "oversample_factor"), flipped=flipped)


def alpha_on_grid(
    alpha: npt.ArrayLike,
    region_map: npt.ArrayLike,
    factor: float,
    *,
    flipped: bool = False,
    n_threads: int | None = None,
) -> npt.NDArray[np.float64]:
    """Return alpha at the centres of the fine pixels, where there is no formula for it.

    Linear along each column of a region, also beyond its outermost finite pixels; NaN outside of the regions.
    Parameters are those of `oversample_planes`.
    """
    check_memory(alpha, factor, itemsize=8, n_planes=1)
    return _native.alpha_on_grid(
        as_double(alpha, "alpha"),
        as_labels(region_map, "region_map"),
        as_real(factor, "oversample_factor"),
        flipped=flipped,
        n_threads=None if n_threads is None else as_count(n_threads, "n_threads", least=1),
    )


def check_memory(plane: npt.ArrayLike, factor: float, *, itemsize: int, n_planes: int) -> None:
    """Refuse what this machine's memory cannot hold, before it is asked for."""
    try:
        shape = np.shape(plane)
    except ValueError:  # rows of different lengths, which the gate refuses
        return
    number = as_real(factor, "oversample_factor")
    if len(shape) != 2 or not math.isfinite(number) or number < 1:  # noqa: PLR2004 - the core says what is wrong
        return
    n_rows = shape[0] * number  # in floating point, where nothing is too large
    n_bytes = n_rows * shape[1] * itemsize * n_planes
    limit = _physical_memory()
    if n_bytes > limit:
        msg = (
            f"`oversample_factor` = {number:g} makes {n_planes} planes of {n_rows:.10g} x {shape[1]} pixels, "
            f"{n_bytes / 1e9:.6g} GB; this machine has {limit / 1e9:.1f} GB. Use a smaller factor"
        )
        raise MemoryLimitError(msg)


def _physical_memory() -> int:
    """Memory of the machine in bytes; where the system does not tell, 64 GB."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # pragma: no cover - Windows
        return 64_000_000_000
