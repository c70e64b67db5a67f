"""The edge between quantities with units and plain numbers: arcsec and seconds within.

What comes in may be an `astropy.units.Quantity`, anything else with a `to_value`, or plain numbers in the unit within.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixtrace._arrays import as_double, as_real
from pixtrace.exceptions import ParameterError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["arcsec", "as_arcsec", "as_degrees", "as_positions", "as_seconds", "plain", "unit_name"]

#: What cameras call their numbers, by the names that astropy and FITS have for it.
_UNIT_NAMES = {"counts": "ct"}


def unit_name(text: str) -> str:
    """Return the name of a unit as astropy and FITS know it; as it came, if it is known to neither."""
    return _UNIT_NAMES.get(text.strip().lower(), text)


def arcsec(values: npt.NDArray[np.float64]) -> Any:
    """Return angles as an `astropy.units.Quantity` [arcsec] that shares the memory of the array."""
    from astropy import units

    return units.Quantity(values, units.arcsec, copy=False)


def plain(value: Any, unit: str, name: str) -> Any:
    """Return numbers in this unit: of a quantity its value, of anything else itself.

    Raises
    ------
    ParameterError
        If the quantity is of another kind.
    """
    if not hasattr(value, "to_value"):
        return value
    from astropy import units

    try:
        return value.to_value(unit)
    except units.UnitConversionError as error:
        msg = f"`{name}` is in {value.unit}; expected a unit that converts to {unit}"
        raise ParameterError(msg) from error


def as_arcsec(value: Any, name: str) -> float:
    """Return one angle [arcsec], of a quantity or a number in arcsec."""
    return as_real(plain(value, "arcsec", name), name)


def as_seconds(value: Any, name: str) -> float:
    """Return one time [s], of a quantity or a number in seconds."""
    return as_real(plain(value, "s", name), name)


def as_degrees(value: Any, name: str) -> npt.NDArray[np.float64]:
    """Return angles [degree], of a quantity or numbers in degrees."""
    return as_double(plain(value, "deg", name), name, ndim=None)


def as_positions(value: Any, name: str) -> npt.NDArray[np.float64]:
    """Return positions of shape (2, n) [arcsec], of a quantity or numbers in arcsec.

    Raises
    ------
    ParameterError
        If the first axis does not hold x and y.
    """
    positions = as_double(plain(value, "arcsec", name), name, ndim=2)
    if positions.shape[0] != 2:  # noqa: PLR2004 - x and y
        msg = f"`{name}` has shape {positions.shape}; expected (2, n): a row of x and a row of y"
        raise ParameterError(msg)
    return positions
