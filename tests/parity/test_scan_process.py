"""Processing of single maps, held against `AstroIntensityMap` of sofia_redux 1.5.2."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pixtrace.scan import Info, Instrument, IntensityMap, MapGrid
from pixtrace.scan.block import MapBlock
from tests.reference import Case, load_pixelmap, pixelmap_names

RTOL = 1e-9
#: The reference's figures for the pixelisation rest on 1.0645; six digits are what they have in common with ours.
FWHM_RTOL = 1e-4
#: Filtered by convolution with a wide kernel, which the reference does on a coarse grid and splines: a hundredth of the
#: peak is as far as its own README says that it agrees with the definition.
COARSE = {"process_5": 0.01}


def options_of(case: Case) -> dict[str, Any]:
    config = case.text("config")
    # Those that the example instrument of the reference sets, and that were not taken away.
    defaults = {"clip": 2.0, "blank": 30.0, "source.redundancy": 2}
    kept = {name: value for name, value in defaults.items() if name not in config["purged"]}
    return {**kept, **config["options"]}


def maps_of(case: Case) -> list[IntensityMap]:
    n, n_y, n_x = case["in_data"].shape
    resolution = float(case["resolution"])
    grid = MapGrid((n_y, n_x), (resolution, resolution), (0.5 * (n_x - 1), 0.5 * (n_y - 1)))
    instrument = Instrument(sampling_interval=float(case["dt"]), resolution=float(case["beam"]))
    block = MapBlock(grid, range(n), info=Info(instrument, options_of(case)))
    maps = [IntensityMap(block, number) for number in range(n)]
    for number, found in enumerate(maps):
        found.set_data(
            **{name: case[f"in_{name}"][number] for name in ("data", "weight", "exposure", "flag")},
            base=np.where(case["in_base_valid"][number], case["in_base"][number], np.nan),
        )
        found.reset_processing()
    return maps


@pytest.mark.parametrize("name", pixelmap_names("process"))
def test_processing(name: str) -> None:
    case = load_pixelmap(name)
    method = case.text("config")["method"]
    columns = case["weight_smoothfwhm_filterfwhm_rescale_filtercorr"]
    for number, found in enumerate(maps_of(case)):
        if method == "process_scan":
            scan = SimpleNamespace(weight=1.0)
            found.process_scan(scan)
            assert scan.weight == pytest.approx(columns[number, 0], rel=RTOL)
        else:
            getattr(found, method)()
        valid = case["out_valid"][number]
        np.testing.assert_array_equal(found.map.valid, valid)
        for plane in ("data", "weight", "exposure"):
            expected = case[f"out_{plane}"][number][valid]
            scale = float(np.abs(expected).max())
            if plane == "data" and name in COARSE:
                differ = np.abs(getattr(found.map, plane)[valid] - expected) / scale
                assert differ.max() < COARSE[name]
                continue
            np.testing.assert_allclose(getattr(found.map, plane)[valid], expected, rtol=RTOL, atol=RTOL * scale)
        # Where there is no data, a smoothed map of the reference has lost its flags.
        np.testing.assert_array_equal(found.map.flag[valid], case["out_flag"][number][valid])
        np.testing.assert_array_equal(found.is_masked(), case["out_masked"][number])
        assert found.map.smoothing_fwhm == pytest.approx(columns[number, 1], rel=FWHM_RTOL)
        assert found.map.filter_fwhm == pytest.approx(columns[number, 2], rel=RTOL, nan_ok=True)
        assert found.map.noise_rescale == pytest.approx(columns[number, 3], rel=RTOL)
