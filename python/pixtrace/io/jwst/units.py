"""Whether a flux is an amount per pixel or a surface brightness."""

from __future__ import annotations

__all__ = ["is_flux_density"]

_KNOWN = {"MJy": True, "mJy": True, "Jy": True, "uJy": True, "nJy": True, "MJy/sr": False, "DN/s": False, "": False}


def is_flux_density(unit: str) -> bool:
    """Return whether a unit is one of flux density, as Jy is and MJy/sr is not.

    The flux of a pixel cut into N parts has to be divided among them then.

    Parameters
    ----------
    unit : str
        Unit (keyword BUNIT).

    Returns
    -------
    bool
        False also for a unit that is not understood.
    """
    name = unit.strip()
    known = _KNOWN.get(name)
    if known is not None:
        return known
    from astropy import units

    try:
        return bool(units.Unit(name).is_equivalent(units.Jy))
    except (ValueError, TypeError):
        return False
