"""What is done to maps one by one, held against `Observation2D` and `AstroIntensityMap` of sofia_redux 1.5.2."""

from typing import Any

import numpy as np
import pytest

from pixtrace.scan import MapStack
from pixtrace.scan.stack_memory import MASK
from tests.parity.maps import RTOL, assert_close, assert_state, stack_of
from tests.reference import Case, load_pixelmap, pixelmap_names

#: The reference has 1.0645 for the side of a cell over the FWHM of a Gaussian of its area, rounded.
FWHM_RTOL = 1e-4
#: Where kernels are wide, the reference works with one cell for this many.
COARSE_CELLS = 5
#: Filtered on such a grid.
COARSE_FILTER = "process_5"
#: Median of the square of a normal variable.
MEDIAN_OF_SQUARES = 0.454937
GRID: dict[str, Any] = {"resolution": 2.0, "reference_index": (21.5, 17.5)}
SIGNS = {1.0: "+", -1.0: "-", 0.0: "0"}


def assert_valid_cells(stack: MapStack, case: Case, names: tuple[str, ...] = ("data", "weight", "exposure")) -> None:
    """Assert that the valid cells are the same, and what they hold; others the reference fills as it happens."""
    np.testing.assert_array_equal(stack.valid, case["out_valid"])
    for pixel, valid in enumerate(stack.valid):
        for name in names:
            expected = case[f"out_{name}"][pixel][valid]
            assert_close(getattr(stack, name)[pixel][valid], expected, f"{name} of map {pixel}")


@pytest.mark.parametrize("robust", [True, False])
def test_level_and_reweight(robust: bool) -> None:
    case = load_pixelmap("stats")
    kind = "robust" if robust else "mean"
    columns = case["chi2_median_mean_variance"]
    stack = stack_of(case, "in", **GRID)
    assert_close(stack.chi2(robust), columns[:, 0 if robust else 1], "chi2")
    assert_close(stack.level(robust), columns[:, 2 if robust else 4], "level")
    assert_state(stack, case, f"level_{kind}")
    factors = stack.reweight(robust)
    assert_state(stack, case, f"reweight_{kind}")
    assert_close(stack.noise_rescale, case[f"reweight_{kind}_noise_rescale"], "noise")
    assert_close(np.sqrt(factors), case[f"reweight_{kind}_noise_rescale"], "factors")


@pytest.mark.parametrize("robust", [True, False])
def test_level_and_reweight_of_one_map_at_a_time(robust: bool) -> None:
    case = load_pixelmap("stats")
    stack = stack_of(case, "in", **GRID)
    for pixel in (3, 0, 5, 4, 1, 2):
        stack.level(robust, pixels=[pixel])
        stack.reweight(robust, pixels=[pixel])
    assert_state(stack, case, f"reweight_{'robust' if robust else 'mean'}")


def test_weighted_medians() -> None:
    case = load_pixelmap("stats")
    n_compared = 0
    for k, size in enumerate(case["sm_size"]):
        values, weights = case["sm_values"][k, :size], case["sm_weights"][k, :size]
        if case["sm_max_dependence"][k] == 1 and (weights > 0).all():  # cells of a map that hold data have weights
            data, weight = values[np.newaxis, np.newaxis], weights[np.newaxis, np.newaxis]
            stack = MapStack.from_arrays(data, weight, weight, np.zeros((1, 1, size), int), **GRID)
            np.testing.assert_allclose(stack.level(robust=True), case["sm_out"][k, 0], rtol=RTOL, atol=RTOL)
            n_compared += 1
    assert n_compared > 10


def test_quantiles_that_clips_refer_to() -> None:
    case = load_pixelmap("stats")
    fraction = case["select_fraction"].tolist()
    low, high = fraction.index(0.05), fraction.index(0.95)
    given = stack_of(case, "in", **GRID)
    valid = given.valid
    noise = np.divide(1.0, np.sqrt(given.weight), out=np.full(given.weight.shape, np.nan), where=valid)
    for factor in (0.5, 0.9, 1.0):
        limit = factor * case["select"][:, high]
        expected = (valid & (given.exposure < limit[:, None, None])).sum(axis=(1, 2))
        np.testing.assert_array_equal(stack_of(case, "in", **GRID).clip_exposure(factor), expected)
        limit = case["select"][:, len(fraction) + low] / factor
        expected = (noise > limit[:, None, None]).sum(axis=(1, 2))
        np.testing.assert_array_equal(stack_of(case, "in", **GRID).clip_noise(1.0 / factor), expected)


@pytest.mark.parametrize("name", pixelmap_names("smooth"))
def test_smoothing(name: str) -> None:
    case = load_pixelmap(name)
    stack = stack_of(case, "in")
    before, after, _ = case["beams_before_after_covariant"].T
    np.testing.assert_allclose(stack.smoothing_fwhm, before, rtol=FWHM_RTOL)
    np.testing.assert_allclose(stack.smooth_to(float(case["fwhm"])), after, rtol=FWHM_RTOL)
    np.testing.assert_allclose(stack.smoothing_fwhm, after, rtol=FWHM_RTOL)
    if np.prod(case["steps"]) <= 1.0:
        assert_valid_cells(stack, case)
        return
    # The reference smooths a coarser map and draws a spline through it: good to about a hundredth of the peak, and at
    # the edges, where it has nothing to go by, to a tenth.
    np.testing.assert_array_equal(stack.valid, case["out_valid"])
    margin = COARSE_CELLS
    for found, expected, before in zip(stack.data, case["out_data"], case["in_data"], strict=True):
        differ = np.where(stack.valid.all(axis=0), np.abs(found - expected), 0.0)
        assert differ[margin:-margin, margin:-margin].max() < 0.01 * before.max()
        assert differ.max() < 0.05 * before.max()
    inside = np.s_[:, margin:-margin, margin:-margin]
    seen = np.asarray(stack.valid.all(axis=0))[inside[1:]]
    for plane, rtol in (("weight", 0.015), ("exposure", 0.0015)):
        found, expected = (each[inside][:, seen] for each in (getattr(stack, plane), case[f"out_{plane}"]))
        np.testing.assert_allclose(found, expected, rtol=rtol, err_msg=plane)


def around(plane: Any, kernel: Any) -> Any:
    """Return the sums over the surroundings of each cell, by definition."""
    half_y, half_x = (side // 2 for side in kernel.shape)
    wide = np.pad(plane, ((half_y, half_y), (half_x, half_x)))
    return np.einsum("yxij,ij->yx", np.lib.stride_tricks.sliding_window_view(wide, kernel.shape), kernel)


@pytest.mark.parametrize("name", pixelmap_names("smooth")[:3])  # the last one is smooth enough already
def test_smoothing_is_the_sum_over_the_kernel_of_the_reference(name: str) -> None:
    case = load_pixelmap(name)
    stack = stack_of(case, "in")
    stack.smooth_to(float(case["fwhm"]))
    for pixel, valid in enumerate(case["in_valid"]):
        data, weight = (np.where(valid, case[f"in_{key}"][pixel], 0.0) for key in ("data", "weight"))
        total = around(weight, case["kernel"])
        for found, plane in ((stack.data, data), (stack.exposure, case["in_exposure"][pixel])):
            expected = around(weight * plane, case["kernel"]) / total
            assert_close(found[pixel][valid], expected[valid], f"map {pixel}")
        assert_close(stack.weight[pixel][valid], total[valid], f"weight of map {pixel}")


@pytest.mark.parametrize("name", pixelmap_names("smooth"))
def test_smoothing_twice_is_smoothing_once(name: str) -> None:
    case = load_pixelmap(name)
    stack = stack_of(case, "in")
    stack.smooth_to(float(case["fwhm"]))
    before = [plane.copy() for plane in (stack.data, stack.weight, stack.exposure, stack.flag)]
    stack.smooth_to(float(case["fwhm"]))
    for plane, found in zip(before, (stack.data, stack.weight, stack.exposure, stack.flag), strict=True):
        np.testing.assert_array_equal(found, plane)


def test_mask() -> None:
    case = load_pixelmap("mask")
    for pixel, (level, least, sign) in enumerate(case["level_minneighbors_sign"]):
        stack = stack_of(case, "in", **GRID).select([pixel])
        before = stack.flag & ~np.uint8(MASK)
        (n_masked,) = stack.update_mask(None if np.isnan(level) else level, int(least), SIGNS[sign])
        is_masked = (stack.flag & MASK) != 0
        np.testing.assert_array_equal(is_masked[0], case["out_masked"][pixel])
        assert n_masked == is_masked.sum()
        np.testing.assert_array_equal(stack.flag & ~np.uint8(MASK), before)


def test_neighbours() -> None:
    case = load_pixelmap("mask")
    stack = stack_of(case, "in", **GRID)
    found = np.zeros(stack.data.shape, dtype=np.int64)
    for least in range(1, 10):  # a cell is masked by all numbers up to that of its neighbours, itself among them
        stack.update_mask(None, least, "+")
        found += (stack.flag & MASK) != 0
    np.testing.assert_array_equal(found, np.where(stack.valid, case["neighbors"], 0))


def options_of(case: Case) -> dict[str, Any]:
    config = case.text("config")
    # Those that the example instrument of the reference sets, and that were not taken away.
    defaults = {"clip": "2.0", "blank": "30.0", "source.redundancy": "2"}
    kept = {name: value for name, value in defaults.items() if name not in config["purged"]}
    return {**kept, **config["options"]}


def process_scan(stack: MapStack, options: dict[str, Any]) -> np.ndarray[Any, Any]:
    stack.end_accumulation()
    known = stack.valid & ~np.isnan(stack.base)
    stack.data[known] += stack.base[known]
    stack.level()
    if "source.despike" in options:
        stack.despike(float(options["source.despike.level"]))
    if "weighting.scans" in options:
        assert options["weighting.scans.method"] == "robust"
        squares = stack.data**2 * stack.weight
        medians = [np.median(found[valid]) for found, valid in zip(squares, stack.valid, strict=True)]
        return MEDIAN_OF_SQUARES / np.array(medians)
    return np.ones(stack.n_pixels)


def process(stack: MapStack, options: dict[str, Any], case: Case) -> None:
    beam, dt = float(case["beam"]), float(case["dt"])
    sign = options.get("source.sign", "+")
    stack.end_accumulation()
    if "source.redundancy" in options:
        stack.clip_redundancy(float(options["source.redundancy"]) * dt)
    widths = {"beam": 1.0, "halfbeam": 0.5, "minimal": 0.3}
    if options.get("smooth") in widths:
        stack.smooth_to(widths[options["smooth"]] * beam)
    if "source.filter" in options:
        fwhm = options["source.filter.fwhm"]
        blank = options.get("source.filter.blank")
        stack.filter(
            5.0 * beam if fwhm == "auto" else float(fwhm),
            blank=None if blank is None else float(blank),
            kind=options["source.filter.type"],
            beam=None if blank is None else beam,  # else the reference notes a correction that it does not make
        )
    if "exposureclip" in options:
        stack.clip_exposure(float(options["exposureclip"]))
    if "noiseclip" in options:
        stack.clip_noise(float(options["noiseclip"]))
    if "clip" in options:
        stack.clip_significance(float(options["clip"]), sign)
    if "source.mem" in options:
        stack.mem_correct(float(options["source.mem.lambda"]))
    stack.update_mask(float(options["blank"]) if "blank" in options else None, 2, sign)


@pytest.mark.parametrize("name", pixelmap_names("process"))
def test_the_pieces_of_processing(name: str) -> None:
    case = load_pixelmap(name)
    options, method = options_of(case), case.text("config")["method"]
    base = np.where(case["in_base_valid"], case["in_base"], np.nan)
    stack = stack_of(case, "in", base=base)
    weight, smooth, filtered, rescale, _ = case["weight_smoothfwhm_filterfwhm_rescale_filtercorr"].T
    if method == "process_scan":
        assert_close(process_scan(stack, options), weight, "weight of the scan")
    elif method == "process":
        process(stack, options, case)
    elif "deep" not in options:
        stack.level()
        stack.reweight()
    if name == COARSE_FILTER:
        assert_valid_cells(stack, case, ("weight", "exposure"))
        valid, peak = stack.valid, np.abs(case["out_data"]).max()
        np.testing.assert_allclose(stack.data[valid], case["out_data"][valid], rtol=0.0, atol=0.01 * peak)
    else:
        assert_valid_cells(stack, case)
    np.testing.assert_array_equal((stack.flag & MASK) != 0, case["out_masked"])
    np.testing.assert_allclose(stack.smoothing_fwhm, smooth, rtol=FWHM_RTOL)
    assert_close(stack.filter_fwhm, filtered, "filter")
    assert_close(stack.noise_rescale, rescale, "noise")
