"""A named set of parameters for each observing mode.

The sets of the JWST modes are those of the ``adaptive_trace_model`` step of jwst 3.0.0:

=====================  ======  ==========================  ============  ============  =====  ======  ================
preset                 lrange  knots across the slice      space_ratio   sigma         fits   order   threshold
=====================  ======  ==========================  ============  ============  =====  ======  ================
miri-mrs               50      36                          1.2           2.5           3      out-in  peak by channel
miri-lrs-slit          5       40                          1.2           3.0           3      right   snr
miri-lrs-slitless      5       60                          1.2           3.0           2      right   snr
nirspec-ifu            50      2 per native pixel          1.6           2.5           3      left    peak
nirspec-slit, -mos     50      2 per native pixel          1.6           2.5           3      left    snr
nirspec-...-prism      10      1 per native pixel          1.6           2.5           3      left    as without prism
nirspec-...-nrs2       as without                                                             right   as without
generic                50      2 per native pixel          1.6           2.5           3      left    snr
=====================  ======  ==========================  ============  ============  =====  ======  ================

"generic" is for every other spectrograph: its numbers of knots and of pixels asked for follow the sampling of the data.
"robust" is for every spectrograph, JWST's too: weighted fits that take knots and windows from the data, and propagated
errors; see `fit_robust`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PRESET_VALUES"]

_LRS: Mapping[str, Any] = {
    "threshold": "snr",
    "lrange": 5,
    "column_order": "right_to_left",
    "spline_bkpt": 40,
    "require_ngood": 8,
    "space_ratio": 1.2,
    "sigma_low": 3.0,
    "sigma_high": 3.0,
    "pad": 3,
}
_MRS: Mapping[str, Any] = {
    "threshold": "peak_by_channel",
    "column_order": "outside_in",
    "spline_bkpt": 36,
    "require_ngood": 8,
    "space_ratio": 1.2,
    "pad": 3,
}
_SLIT: Mapping[str, Any] = {"threshold": "snr", "pad": 1, "trim_ends": True}
_IFU: Mapping[str, Any] = {**_SLIT, "threshold": "peak", "pad": 2}
_PRISM: Mapping[str, Any] = {"lrange": 10, "auto_bkpt_factor": 1.0, "auto_ngood_factor": 0.25}
_NRS2: Mapping[str, Any] = {"column_order": "right_to_left"}


def _nirspec() -> dict[str, Mapping[str, Any]]:
    """Return the presets of NIRSpec: of each mode with and without prism, on either detector."""
    found: dict[str, Mapping[str, Any]] = {}
    for mode, values in (("ifu", _IFU), ("slit", _SLIT), ("mos", _SLIT)):
        for name, nrs1 in ((f"nirspec-{mode}", values), (f"nirspec-{mode}-prism", {**values, **_PRISM})):
            found[name] = nrs1
            found[f"{name}-nrs2"] = {**nrs1, **_NRS2}
    return found


#: What differs from the defaults of `pixtrace.trace.TraceParams` in each preset.
PRESET_VALUES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "miri-mrs": _MRS,
        "miri-lrs-slit": _LRS,
        "miri-lrs-slitless": {**_LRS, "spline_bkpt": 60, "fit_iter": 2},
        **_nirspec(),
        "generic": {},
        "robust": {"method": "robust", "errors": "propagated", "fit_threshold": 0.0, "slope_limit": 0.0},
    }
)
