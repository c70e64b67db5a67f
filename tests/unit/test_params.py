import dataclasses
import math
from typing import Any

import pytest

from pixtrace.exceptions import ParameterError, UnsupportedModeError
from pixtrace.trace.params import PRESETS, TraceParams, preset_for_mode


def test_every_preset_has_its_name() -> None:
    expected = {"miri-mrs", "miri-lrs-slit", "miri-lrs-slitless", "generic", "robust"}
    expected |= {f"nirspec-{m}{p}{o}" for m in ("ifu", "slit", "mos") for p in ("", "-prism") for o in ("", "-nrs2")}
    assert set(PRESETS) == expected
    for name, params in PRESETS.items():
        assert TraceParams.preset(name) is params


# mode, lrange, knots, good pixels, space_ratio, sigma, fits, threshold, pad, trim_ends: semantics.md, section 7
TABLE = [
    (("MIR_MRS", "MIRIFUSHORT", ""), (50, 36, 8, 1.2, 2.5, 3, "peak_by_channel", 3, False)),
    (("MIR_LRS-FIXEDSLIT", "MIRIMAGE", ""), (5, 40, 8, 1.2, 3.0, 3, "snr", 3, False)),
    (("MIR_LRS-SLITLESS", "MIRIMAGE", ""), (5, 60, 8, 1.2, 3.0, 2, "snr", 3, False)),
    (("NRS_IFU", "NRS1", "G235H"), (50, 2.0, 0.5, 1.6, 2.5, 3, "peak", 2, True)),
    (("NRS_IFU", "NRS2", "PRISM"), (10, 1.0, 0.25, 1.6, 2.5, 3, "peak", 2, True)),
    (("NRS_FIXEDSLIT", "NRS1", "G140M"), (50, 2.0, 0.5, 1.6, 2.5, 3, "snr", 1, True)),
    (("NRS_BRIGHTOBJ", "NRS1", "PRISM"), (10, 1.0, 0.25, 1.6, 2.5, 3, "snr", 1, True)),
    (("NRS_MSASPEC", "NRS2", "G395H"), (50, 2.0, 0.5, 1.6, 2.5, 3, "snr", 1, True)),
]


@pytest.mark.parametrize(("mode", "row"), TABLE)
def test_presets_have_the_numbers_of_the_table(mode: tuple[str, str, str], row: tuple[Any, ...]) -> None:
    params = TraceParams.for_mode(*mode)
    automatic = isinstance(row[1], float)
    assert params.lrange == row[0]
    assert params.spline_bkpt == (None if automatic else row[1])
    assert params.require_ngood == (None if automatic else row[2])
    if automatic:
        assert (params.auto_bkpt_factor, params.auto_ngood_factor) == row[1:3]
    assert (params.space_ratio, params.sigma_low, params.sigma_high) == (row[3], row[4], row[4])
    assert (params.fit_iter, params.threshold, params.pad, params.trim_ends) == row[5:]
    assert params.oversample_require_ngood == 3
    assert (params.fit_threshold, params.slope_limit, params.psf_optimal) == (10.0, 0.1, False)
    expected = "outside_in" if mode[0] == "MIR_MRS" else "left_to_right" if mode[1] == "NRS1" else "right_to_left"
    assert params.column_order == expected


def test_names_of_modes() -> None:
    assert preset_for_mode("nrs_ifu ", "nrs2", "prism") == "nirspec-ifu-prism-nrs2"
    assert preset_for_mode("NRS_SLIT") == "nirspec-slit"
    assert preset_for_mode("MIR_LRS_SLIT") == "miri-lrs-slit"
    for mode in ("NRC_WFSS", "NIS_WFSS", "NIS_SOSS", "MIR_IMAGE", ""):
        with pytest.raises(UnsupportedModeError, match=f"exposures of type '{mode}'"):
            preset_for_mode(mode)


def test_orders_of_columns() -> None:
    params = TraceParams()
    assert params.columns(4) == [0, 1, 2, 3]
    assert params.replace(column_order="right_to_left").columns(4) == [3, 2, 1, 0]
    outside_in = params.replace(column_order="outside_in")
    assert outside_in.columns(6) == [0, 1, 2, 3, 5, 4]
    assert outside_in.columns(7) == [0, 1, 2, 3, 6, 5, 4]
    for name in ("left_to_right", "right_to_left", "outside_in"):
        for n_x in (0, 1, 2, 3, 10, 11):
            assert sorted(params.replace(column_order=name).columns(n_x)) == list(range(n_x))


def test_replace_names_what_it_does_not_know() -> None:
    params = TraceParams().replace(slope_limit=0.2)
    assert params.slope_limit == 0.2
    with pytest.raises(ParameterError, match=r"no parameter 'slop_limit'; expected one of .*slope_limit"):
        params.replace(slop_limit=0.2)
    with pytest.raises(ParameterError, match=r"no preset 'miri'; expected one of miri-mrs"):
        TraceParams.preset("miri")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fit_threshold", math.nan),
        ("fit_threshold", "10"),
        ("slope_limit", math.inf),
        ("slope_limit", True),
        ("space_ratio", 0.0),
        ("sigma_low", -1.0),
        ("auto_bkpt_factor", 0.0),
        ("lrange", 0),
        ("lrange", 2.5),
        ("fit_iter", 0),
        ("pad", -1),
        ("spline_bkpt", 0),
        ("require_ngood", -1),
        ("oversample_require_ngood", None),
        ("psf_optimal", 1),
        ("trim_ends", "no"),
        ("threshold", "flux"),
        ("column_order", "middle_out"),
    ],
)
def test_refuses_values_that_make_no_sense(name: str, value: object) -> None:
    with pytest.raises(ParameterError, match=f"{name} = .*must be"):
        TraceParams().replace(**{name: value})


def test_psf_optimal_takes_the_spline_everywhere() -> None:
    params = TraceParams(psf_optimal=True)
    assert params.fits_every_region
    assert params.oversample_kwargs()["slope_limit"] == 0
    assert not TraceParams().fits_every_region
    assert TraceParams(fit_threshold=0).fits_every_region


def test_keyword_arguments_hold_every_number() -> None:
    params = PRESETS["miri-mrs"]
    handed_over = {**params.fit_kwargs(3), **params.oversample_kwargs()}
    fields = {item.name for item in dataclasses.fields(params)}
    assert fields - set(handed_over) == {
        "fit_threshold",
        "threshold",
        "column_order",
        "oversample_require_ngood",
        "method",
        "errors",
        "n_covariances",
    }
    assert params.fit_kwargs(3)["col_index"] == [0, 1, 2]
    assert params.fit_kwargs(3)["require_ngood"] == 8
    assert params.oversample_kwargs()["require_ngood"] == 3


def test_preset_name() -> None:
    assert PRESETS["miri-mrs"].preset_name == "miri-mrs"
    assert PRESETS["miri-mrs"].replace(pad=7).preset_name is None
