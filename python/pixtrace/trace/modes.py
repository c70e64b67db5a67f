"""Observing modes of JWST, and the parameter set of each."""

from __future__ import annotations

from pixtrace.exceptions import UnsupportedModeError

__all__ = ["preset_for_mode"]

_MODES = {
    "MIR_MRS": "miri-mrs",
    "MIR_LRS-FIXEDSLIT": "miri-lrs-slit",
    "MIR_LRS-SLITLESS": "miri-lrs-slitless",
    "NRS_IFU": "nirspec-ifu",
    "NRS_FIXEDSLIT": "nirspec-slit",
    "NRS_BRIGHTOBJ": "nirspec-slit",
    "NRS_MSASPEC": "nirspec-mos",
}

#: Names under which jwst's own trace functions know the same modes.
_REFERENCE_MODES = {
    "MIR_LRS_SLIT": "miri-lrs-slit",
    "MIR_LRS_SLITLESS": "miri-lrs-slitless",
    "NRS_SLIT": "nirspec-slit",
    "NRS_MOS": "nirspec-mos",
}


def preset_for_mode(exp_type: str, detector: str = "", grating: str = "") -> str:
    """Return the name of the preset for a JWST observing mode.

    Parameters
    ----------
    exp_type : str
        Exposure type, header keyword EXP_TYPE, such as ``"MIR_MRS"`` or ``"NRS_IFU"``.
    detector : str, optional
        Keyword DETECTOR; NRS2 disperses the other way round than NRS1.
    grating : str, optional
        Keyword GRATING; PRISM has its own parameters.

    Returns
    -------
    str
        One of `pixtrace.trace.params.PRESETS`.

    Raises
    ------
    UnsupportedModeError
        There is no trace model for this mode.
    """
    name = exp_type.strip().upper()
    mode = _MODES.get(name) or _REFERENCE_MODES.get(name)
    if mode is None:
        msg = (
            f"there is no trace model for exposures of type {exp_type!r}; "
            f"expected one of {', '.join(_MODES)}, or name a preset to be used"
        )
        raise UnsupportedModeError(msg)
    if not mode.startswith("nirspec"):
        return mode
    prism = "-prism" if grating.strip().upper() == "PRISM" else ""
    order = "-nrs2" if detector.strip().upper() == "NRS2" else ""
    return f"{mode}{prism}{order}"
