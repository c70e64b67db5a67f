"""The JWST observing modes that have a trace model: what lies where in their files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pixtrace.exceptions import FileReadError, UnsupportedModeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pixtrace.io.jwst.container import FitsContainer

__all__ = ["MODES", "Mode", "mode_of"]


@dataclass(frozen=True, kw_only=True)
class Mode:
    """How the exposures of one type are laid out.

    Attributes
    ----------
    models : tuple of str
        Datamodels in which they come (keyword DATAMODL).
    slice_axis : {"x", "y"}
        Axis of the file along which a slice or slit extends; the light is dispersed along the other one.
    geometry : {"mrs", "ifu", "slit"}
        How region and along-slice coordinate follow from the WCS: by the label mapper of the transform to
        ``alpha_beta`` (arcsec); by the REGIONS array and the ``slicer`` frame (metres at the slicer); or by the
        bounding box and `frame` (slit units for NIRSpec, arcsec for MIRI).
    frame : str
        Frame whose output `alpha_output` is the along-slice coordinate.
    alpha_output : int
        See `frame`.
    """

    models: tuple[str, ...]
    slice_axis: Literal["x", "y"]
    geometry: Literal["mrs", "ifu", "slit"]
    frame: str
    alpha_output: int
    alpha_sign: Literal[1, -1] = 1


_SLITS = ("MultiSlitModel", "SlitModel")
_NIRSPEC_SLIT = Mode(models=_SLITS, slice_axis="y", geometry="slit", frame="slit_frame", alpha_output=1, alpha_sign=-1)
_MIRI_LRS = Mode(models=("SlitModel",), slice_axis="x", geometry="slit", frame="alpha_beta", alpha_output=0)

#: The modes by exposure type (keyword EXP_TYPE).
MODES: Mapping[str, Mode] = {
    "MIR_MRS": Mode(models=("IFUImageModel",), slice_axis="x", geometry="mrs", frame="alpha_beta", alpha_output=0),
    "NRS_IFU": Mode(
        models=("IFUImageModel",), slice_axis="y", geometry="ifu", frame="slicer", alpha_output=1, alpha_sign=-1
    ),
    "NRS_FIXEDSLIT": _NIRSPEC_SLIT,
    "NRS_MSASPEC": _NIRSPEC_SLIT,
    "NRS_BRIGHTOBJ": _NIRSPEC_SLIT,
    "MIR_LRS-FIXEDSLIT": _MIRI_LRS,
    "MIR_LRS-SLITLESS": _MIRI_LRS,
}


def mode_of(container: FitsContainer) -> Mode:
    """Return the mode of a file.

    Parameters
    ----------
    container : FitsContainer
        The file.

    Returns
    -------
    Mode
        How it is laid out.

    Raises
    ------
    FileReadError
        The file does not tell.
    UnsupportedModeError
        There is no trace model for the mode, or not for the datamodel.
    """
    header = container.primary
    exp_type, model = (str(header.get(key, "")).strip() for key in ("EXP_TYPE", "DATAMODL"))
    if not exp_type:
        msg = f"{container.path}: the primary header has no EXP_TYPE; expected one of {', '.join(MODES)}"
        raise FileReadError(msg)
    mode = MODES.get(exp_type.upper())
    if mode is None:
        msg = f"{container.path}: there is no trace model for EXP_TYPE {exp_type!r}; expected one of {', '.join(MODES)}"
        raise UnsupportedModeError(msg)
    if model not in mode.models:
        remedy = "; make the cal file anew with jwst 2.0 or later" if exp_type.upper().startswith("MIR_LRS") else ""
        msg = (
            f"{container.path}: exposures of EXP_TYPE {exp_type!r} are expected as {' or '.join(mode.models)}, "
            f"found DATAMODL {model!r}{remedy}"
        )
        raise UnsupportedModeError(msg)
    return mode
