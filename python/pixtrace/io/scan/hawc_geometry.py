"""Constants of HAWC+, and where its pixels are meant to look."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError
from pixtrace.io.scan.tables import ChannelTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = ["HawcBand", "hawc_band", "hawc_channels", "hawc_constants", "nominal_position"]


@dataclass(frozen=True)
class HawcBand:
    """Constants of one band.

    Attributes
    ----------
    name : str
        As in SPECTEL1, for example "HAW_C".
    wavelength : float
        Central wavelength [um].
    fwhm : float
        Width of the beam [arcsec].
    pixel_size : float
        Distance of pixels [arcsec].
    """

    name: str
    wavelength: float
    fwhm: float
    pixel_size: float


@cache
def hawc_constants() -> dict[str, Any]:
    """Return the table of constants, `hawc_plus.toml`.

    Returns
    -------
    dict
        As in the file, which says what they are.
    """
    return tomllib.loads((files("pixtrace.io.scan") / "hawc_plus.toml").read_text(encoding="utf-8"))


def hawc_band(name: str) -> HawcBand:
    """Return the constants of a band.

    Parameters
    ----------
    name : str
        As in SPECTEL1; "C" and "haw_c" are understood too.

    Returns
    -------
    HawcBand
        Its constants.

    Raises
    ------
    DataError
        There is no such band.
    """
    bands: dict[str, dict[str, float]] = hawc_constants()["band"]
    key = name.strip().upper()
    key = key if key in bands else f"HAW_{key}"
    if key not in bands:
        msg = f"SPECTEL1 = {name!r}; expected one of {', '.join(bands)}"
        raise DataError(msg)
    return HawcBand(name=key, **bands[key])


def nominal_position(
    subarray: int,
    row: npt.NDArray[np.int64],
    column: npt.NDArray[np.int64],
    *,
    pixel_size: float,
    boresight: tuple[float, float],
    date: str,
    rotated: bool = True,
) -> npt.NDArray[np.float64]:
    """Return where pixels of one subarray are meant to look.

    Parameters
    ----------
    subarray : int
        0 to 3: R0, R1, T0, T1.
    row, column : ndarray of int64, shape (n,)
        Rows 0 to 40 and columns 0 to 31 within the subarray.
    pixel_size : float
        Distance of pixels [arcsec].
    boresight : tuple of float
        SIBS_X and SIBS_Y: column, and row counted down from 39, that look along the boresight.
    date : str
        When, ISO 8601; with "" the latest geometry is taken.
    rotated : bool, optional
        Whether the small rotation of the whole array is applied. Without it, pixels of R0 are at
        ``((column - SIBS_X), -((39 - row) - SIBS_Y)) pixel_size``.

    Returns
    -------
    ndarray of float64, shape (2, n)
        x and y [arcsec]; NaN where nothing is known of the subarray.
    """
    constants = hawc_constants()
    periods: list[dict[str, Any]] = constants["geometry"]
    geometry = next((period for period in reversed(periods) if period["from"] <= date[:10]), periods[-1])
    place: dict[str, Any] | None = geometry.get(constants["array"]["subarrays"][subarray])
    if place is None:
        return np.full((2, row.size), np.nan)
    x, y = column.astype(np.float64), (row - constants["array"]["first_row"]).astype(np.float64)
    x, y = _turned(x, y, place["angle"])
    x, y = x + place["corner"][0] - boresight[0], y + place["corner"][1] + boresight[1]
    if rotated:
        x, y = _turned(x, y, geometry["rotation"])
    return np.stack([x, y]) * pixel_size


def hawc_channels(
    subarrays: Sequence[int], band: HawcBand, *, boresight: tuple[float, float], date: str
) -> ChannelTable:
    """Return the channels of some subarrays.

    Parameters
    ----------
    subarrays : sequence of int
        Numbers of the subarrays, growing.
    band : HawcBand
        The band.
    boresight : tuple of float
        SIBS_X and SIBS_Y.
    date : str
        When, ISO 8601.

    Returns
    -------
    ChannelTable
        Subarray by subarray and row by row. Rows and columns are those of SQ1Feedback (41 and 128), which are also the
        groups: a readout column drifts together. Dark SQUIDs are blind.
    """
    array = hawc_constants()["array"]
    n_rows, n_columns = int(array["rows"]), int(array["columns"])
    row, column = (axis.ravel() for axis in np.indices((n_rows, n_columns), dtype=np.int64))
    position = [
        nominal_position(sub, row, column, pixel_size=band.pixel_size, boresight=boresight, date=date)
        for sub in subarrays
    ]
    rows = np.tile(row, len(subarrays))
    columns = np.concatenate([column + n_columns * sub for sub in subarrays])
    return ChannelTable.make(
        np.concatenate([sub * n_rows * n_columns + row * n_columns + column for sub in subarrays]),
        np.concatenate(position, axis=1),
        row=rows,
        column=columns,
        group=columns,
        reason=np.where(np.isin(rows, array["blind_rows"]), "blind", ""),
    )


def _turned(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], angle: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return points turned about the origin, counterclockwise [deg]."""
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return x * cosine - y * sine, x * sine + y * cosine
