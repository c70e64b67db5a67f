"""From timestreams to positions, held against `PixelMap` of sofia_redux 1.5.2."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.scan import Channels, Info, Instrument, MapGrid, PixelMap, Scan
from tests.reference import Case, load_pixelmap, pixelmap_names

RTOL = 1e-9
BLANK = 8192


class ForeignFrames:
    """Frames with the flags of the reference, as its own `Frames` have them.

    Parameters
    ----------
    case : Case
        Reference data.
    """

    def __init__(self, case: Case) -> None:
        self.data = case["frame_data"].copy()
        self.valid = case["frame_valid"]
        self.flag = case["frame_flag"]
        self.relative_weight = case["relative_weight"]
        self.sample_flag = case["sample_flag"].copy()
        self.map_index = SimpleNamespace(coordinates=case["map_indices"])
        bit = SimpleNamespace
        flags = bit(SAMPLE_SOURCE_BLANK=bit(value=BLANK), SOURCE_FLAGS=bit(value=int(case["source_flags"])))
        self.flagspace = SimpleNamespace(flags=flags)


#: The pixel for which the reference's spline surface has other knots than FITPACK's.
OTHER_KNOTS = 3
#: The pixels of the raw scan whose maps the reference wrote.
WRITTEN = (392, 431, 471)


def filled(case: Case) -> tuple[PixelMap, Scan, ForeignFrames, int]:
    options = {"pointing.method": "peak", "pointing.lsq": True, "pointing.reduce_degrees": True}
    info = Info(Instrument(sampling_interval=float(case["dt"]), resolution=float(case["beam"])), options)
    channels = Channels(
        np.arange(case["variance"].size), variance=case["variance"], coupling=case["coupling_in"], info=info
    )
    model = PixelMap(info)
    n_y, n_x = (int(side) for side in case["shape"])
    resolution = float(case["resolution"])
    model.set_grid(MapGrid((n_y, n_x), (resolution, resolution), (0.5 * (n_x - 1), 0.5 * (n_y - 1))))
    scan = Scan(channels, info)
    model.scans = [scan]
    frames = ForeignFrames(case)
    n = model.add_points(frames, channels.create_group(), case["frame_gains"], case["source_gains"])
    return model, scan, frames, n


@pytest.fixture(params=pixelmap_names("pixelmap"))
def case(request: pytest.FixtureRequest) -> Any:
    return load_pixelmap(request.param)


def assert_state(model: PixelMap, case: Case, prefix: str, *, rtol: float = RTOL, n: int | None = None) -> None:
    for k, found in enumerate(list(model.pixel_maps.values())[:n]):
        valid = case[f"{prefix}_valid"][k]
        np.testing.assert_array_equal(found.map.valid, valid)
        for name in ("data", "weight", "exposure"):
            expected: npt.NDArray[np.float64] = case[f"{prefix}_{name}"][k][valid]
            scale = float(np.abs(expected).max())
            np.testing.assert_allclose(getattr(found.map, name)[valid], expected, rtol=rtol, atol=rtol * scale)
        np.testing.assert_array_equal(found.map.flag[valid], case[f"{prefix}_flag"][k][valid])


def test_adding_points(case: Case) -> None:
    model, _, _, n = filled(case)
    assert n == case["mapping_frames"]
    assert_state(model, case, "add")


def test_processing(case: Case) -> None:
    model, _, _, _ = filled(case)
    model.process()
    assert_state(model, case, "process")
    assert model.count_points() == case["count_points"]
    assert model.covariant_points() == pytest.approx(float(case["covariant_points"]))
    # In the reference once for each map (its defect 11).
    assert model.generation == 1
    model.process_final()
    assert_state(model, case, "final")


def test_subtracting_the_source(case: Case) -> None:
    model, scan, frames, _ = filled(case)
    model.process()
    model.process_final()
    pixels = scan.channels.create_group()
    zeros = np.zeros(pixels.size)
    model.sync_source_gains(frames, pixels, case["frame_gains"], case["source_gains"], zeros)
    np.testing.assert_allclose(frames.data, case["sync_frame_data"], rtol=RTOL, atol=RTOL)
    np.testing.assert_array_equal(frames.sample_flag, case["sync_sample_flag"])


def test_subtracting_one_channel_at_a_time(case: Case) -> None:
    model, scan, frames, _ = filled(case)
    model.process()
    model.process_final()
    pixels = scan.channels.create_group()
    arguments = (model.pixel_maps, frames, pixels, case["frame_gains"], case["source_gains"], np.zeros(pixels.size))
    for k in range(pixels.size):
        signal = PixelMap.parallel_safe_sync_source_gains(arguments, k)
        np.testing.assert_allclose(signal, case["sync_frame_data"][:, k], rtol=RTOL, atol=RTOL)


def test_positions_and_couplings(case: Case) -> None:
    model, scan, _, _ = filled(case)
    model.process()
    model.process_final()
    model.calculate_pixel_data(smooth=False)
    # Made by scipy.optimize.curve_fit in the reference: a ten-thousandth of a cell is what its tolerance allows.
    atol = 1e-4 * float(case["resolution"])
    np.testing.assert_allclose(scan.channels.position.value, case["position"], atol=atol)
    # About pixel 3 the reference's surface is not the one that FITPACK makes of the same cells (test_scan_peaks.py).
    sure = np.arange(case["coupling"].size) != OTHER_KNOTS
    np.testing.assert_allclose(scan.channels.coupling[sure], case["coupling"][sure], rtol=1e-6)
    np.testing.assert_allclose(scan.channels.coupling, case["coupling"], rtol=5e-3)


def test_a_raw_scan_from_its_offsets_to_its_maps() -> None:
    # Frames as the reference read them; the pixels whose signals are there. They are kept in single precision.
    case = load_pixelmap("scan_result")
    column = {int(number): k for k, number in enumerate(case["integration_fixed_index"])}
    chosen = [column[int(number)] for number in case["map_pixels"]]
    exposures = case["add_exposure"]
    info = Info(Instrument(sampling_interval=float(exposures[exposures > 0].min()), resolution=10.0), {"grid": 5.0})
    channels = Channels(
        case["map_pixels"],
        variance=case["integration_variance"][chosen],
        gain=case["integration_source_gain"][chosen],
    )
    scan = Scan.from_arrays(
        case["frame_data"],
        None,
        case["horizontal_offset"],
        channels,
        info=info,
        gain=float(case["integration_gain"]),
        valid=case["frame_valid"],
        flag=case["frame_flag"],
        relative_weight=case["relative_weight"],
        transmission=case["frame_source_gain"],
    )
    model = PixelMap(info)
    model.create_from([scan])
    assert model.shape == tuple(case["shape"])
    assert model.grid is not None
    np.testing.assert_array_equal(model.grid.reference_index, case["reference_index"])
    frames = scan[0].frames
    assert frames.map_index is not None
    assert frames.map_position is not None
    clear = np.abs(frames.map_position - np.floor(frames.map_position) - 0.5).min(axis=0) > 1e-7
    mapped = clear & frames.valid
    np.testing.assert_array_equal(frames.map_index[:, mapped], case["map_index"][:, mapped])
    model.add_scans()
    assert_state(model, case, "add", rtol=1e-6)
    model.process()
    assert_state(model, case, "process", rtol=1e-6)
    # The reference finishes those maps that it writes, the first three, and fits all.
    for number in WRITTEN:
        PixelMap.parallel_safe_process_final((model.pixel_maps,), number)
    assert_state(model, case, "final", rtol=1e-6, n=len(WRITTEN))
    model.configuration["pointing.method"] = "peak"
    model.calculate_pixel_data(smooth=False)
    places = np.searchsorted(case["channel_fixed_index"], case["map_pixels"])
    atol = 1e-4 * float(case["resolution"].max())
    np.testing.assert_allclose(scan.channels.position.value, case["position"][:, places], rtol=0.0, atol=atol)
    # Couplings are relative to a median that is taken over all pixels of the array there, over ten here.
    ratio = scan.channels.coupling / case["coupling"][places]
    ratio /= np.median(ratio)
    assert np.sort(np.abs(ratio - 1.0))[-2] < 1e-5  # one map in thirty: other knots (test_scan_peaks.py)
    np.testing.assert_allclose(ratio, 1.0, rtol=0.03)
