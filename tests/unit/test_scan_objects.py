"""Channels, frames, scans, options: what they hold, and what they refuse."""

import math
from typing import Any

import numpy as np
import pytest
from astropy import units

from pixtrace.exceptions import ConfigError, DataError, DtypeError, ParameterError, PixtraceError, ShapeError
from pixtrace.scan import (
    ChannelFlag,
    ChannelGroup,
    Channels,
    Configuration,
    FrameFlag,
    Frames,
    Info,
    Instrument,
    MapGrid,
    SampleFlag,
    Scan,
)
from pixtrace.scan.configuration import setting
from pixtrace.scan.options import OPTIONS
from pixtrace.scan.processing import requested_smoothing


def test_sample_flags_fit_into_a_byte() -> None:
    assert max(SampleFlag) < 256
    assert int(~SampleFlag.SOURCE_BLANK) & int(SampleFlag.SOURCE_BLANK) == 0


@pytest.mark.parametrize(
    ("name", "bits"), [("SOURCE_FLAGS", 63), ("MODELING_FLAGS", 47), ("CHOP_FLAGS", 896), ("TIME_WEIGHTING_FLAGS", 106)]
)
def test_frame_flags_have_the_values_of_the_reference(name: str, bits: int) -> None:
    assert FrameFlag[name] == bits


def test_channels_are_found_by_their_numbers() -> None:
    channels = Channels([9, 4, 7], row=[0, 0, 1], col=2)
    np.testing.assert_array_equal(channels.find_fixed_indices([7, 5, 9]), [2, -1, 0])
    np.testing.assert_array_equal(Channels([]).find_fixed_indices([1]), [-1])
    np.testing.assert_array_equal(channels.col, [2, 2, 2])
    assert len(channels) == channels.size == 3
    assert channels.data is channels


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"fixed_index": [1, 2, 1]}, ParameterError, "1 more than once"),
        ({"fixed_index": [1.5, 2.5]}, DtypeError, "whole numbers"),
        ({"fixed_index": [1, 2], "gain": [1.0]}, ShapeError, "`gain`"),
        ({"fixed_index": [1, 2], "flag": ["a", "b"]}, DtypeError, "`flag`"),
        ({"fixed_index": [1, 2], "position": np.zeros((3, 2))}, ParameterError, "`position`"),
        ({"fixed_index": [1, 2], "position": np.zeros((2, 2)) * units.s}, ParameterError, "arcsec"),
    ],
)
def test_channels_that_make_no_sense(arguments: dict[str, Any], error: type[PixtraceError], match: str) -> None:
    with pytest.raises(error, match=match):
        Channels(**arguments)


def test_positions_carry_units() -> None:
    channels = Channels([1, 2], position=np.array([[1.0, 2.0], [3.0, 4.0]]) * units.arcmin)
    assert channels.position.unit == units.arcsec
    np.testing.assert_array_equal(channels.position.value, [[60.0, 120.0], [180.0, 240.0]])
    channels.position = [[0.0, 0.0], [5.0, 5.0]]
    np.testing.assert_array_equal(channels.nominal_position.value[0], [60.0, 120.0])


def test_groups_write_through() -> None:
    channels = Channels([9, 4, 7], flag=[0, int(ChannelFlag.GAIN), int(ChannelFlag.DEAD)])
    group = channels.get_mapping_pixels()
    np.testing.assert_array_equal(group.fixed_index, [9, 4])
    np.testing.assert_array_equal(channels.get_mapping_pixels(keep_flag=0).fixed_index, [9])
    np.testing.assert_array_equal(channels.get_mapping_pixels(match_flag=int(ChannelFlag.DEAD)).fixed_index, [7])
    group.coupling = [2.0, 3.0]
    group.variance = 5.0
    group.gain = 4.0
    group.flag = 0
    group.independent = True
    group.position = np.ones((2, 2)) * units.arcsec
    np.testing.assert_array_equal(channels.coupling, [2.0, 3.0, 1.0])
    np.testing.assert_array_equal(channels.variance, [5.0, 5.0, 1.0])
    np.testing.assert_array_equal(channels.get_source_gains(), [8.0, 12.0, 1.0])
    np.testing.assert_array_equal(channels.get_source_gains(fixed=True), [2.0, 3.0, 1.0])
    np.testing.assert_array_equal(channels.flag, [0, 0, 1])
    np.testing.assert_array_equal(channels.independent, [True, True, False])
    np.testing.assert_array_equal(channels.position.value[0], [1.0, 1.0, 0.0])
    np.testing.assert_array_equal(group.create_group([False, True]).fixed_index, [4])
    copy = channels.copy()
    copy.coupling[...] = 0.0
    assert channels.coupling[0] == 2.0
    with pytest.raises(ParameterError, match="3 channels"):
        ChannelGroup(channels, [3])
    with pytest.raises(ParameterError, match="more than once"):
        ChannelGroup(channels, [1, 1])


def test_weights_of_channels_without_a_sensible_variance_are_zero() -> None:
    channels = Channels(range(5), variance=[4.0, 0.0, -1.0, math.nan, math.inf])
    np.testing.assert_array_equal(channels.weight, [0.25, 0.0, 0.0, 0.0, 0.0])


def test_frames_keep_the_precision_and_turn_the_byte_order() -> None:
    data = np.arange(6, dtype=">f4").reshape(3, 2)
    frames = Frames(data, np.zeros((2, 3)))
    assert frames.data.dtype == np.float32
    assert frames.data.dtype.isnative
    assert frames.sample_flag.dtype == np.uint8
    own = np.zeros((3, 2))
    assert not np.shares_memory(Frames(own, np.zeros((2, 3))).data, own)
    assert Frames(own, np.zeros((2, 3)), copy=False).data is own


def test_frames_without_an_offset_are_not_valid() -> None:
    offset = np.zeros((2, 4))
    offset[0, 1] = np.nan
    offset[1, 3] = np.inf
    frames = Frames(np.zeros((4, 1)), offset, valid=[True, True, False, True])
    np.testing.assert_array_equal(frames.valid, [True, False, False, False])
    frames = Frames(np.zeros((3, 1)), np.zeros((2, 3)), angle=[0.0, np.nan, 0.0])
    np.testing.assert_array_equal(frames.valid, [True, False, True])


def test_the_boresight_is_turned_to_the_focal_plane() -> None:
    frames = Frames(np.zeros((2, 1)), [[3.0, 0.0], [0.0, 3.0]] * units.arcsec, angle=np.pi / 2 * units.rad)
    np.testing.assert_allclose(frames.get_focal_plane_offset().value, [[0.0, 3.0], [-3.0, 0.0]], atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"data": np.zeros(3)}, ShapeError, "`data` has 1 dimensions"),
        ({"offset": np.zeros((2, 4))}, ShapeError, "`offset`"),
        ({"offset": np.zeros((3, 3))}, ParameterError, "`offset`"),
        ({"flag": [1, 2]}, ShapeError, "`flag`"),
        ({"flag": [0.5, 1.0, 2.0]}, DtypeError, "`flag`"),
        ({"sample_flag": np.full((3, 2), 8192)}, ParameterError, "from 0 to 255"),
        ({"sample_flag": np.full((3, 2), -1)}, ParameterError, "from 0 to 255"),
        ({"valid": [True]}, ShapeError, "`valid`"),
        ({"valid": [1.0, np.nan, 0.5]}, DtypeError, "`valid` has dtype float64; expected truth values"),
        ({"valid": [0, 1, 2]}, DtypeError, "`valid`"),
        ({"relative_weight": [1.0, 2.0]}, ShapeError, "`relative_weight`"),
        ({"mjd": [1.0]}, ShapeError, "`mjd`"),
        ({"data": np.array([["a", "b"]] * 3)}, DtypeError, "`data`"),
    ],
)
def test_frames_that_make_no_sense(arguments: dict[str, Any], error: type[PixtraceError], match: str) -> None:
    whole: dict[str, Any] = {"data": np.zeros((3, 2)), "offset": np.zeros((2, 3)), **arguments}
    with pytest.raises(error, match=match):
        Frames(whole.pop("data"), whole.pop("offset"), **whole)


def test_a_scan_of_arrays() -> None:
    time = np.arange(5) * 20.0 * units.ms
    scan = Scan.from_arrays(np.zeros((5, 3)), time, np.zeros((2, 5)), mjd=60000.0, scan_id="17", object_name="Uranus")
    assert scan.info.instrument.sampling_interval == pytest.approx(0.02)
    assert scan.info.instrument.integration_time == pytest.approx(0.02)
    np.testing.assert_array_equal(scan.channels.fixed_index, [0, 1, 2])
    mjd = scan[0].frames.mjd
    assert mjd is not None
    assert mjd[4] == pytest.approx(60000.0 + 0.08 / 86400.0, abs=1e-10)
    assert scan[0].get_id() == "17|1"
    more = scan.add_arrays(np.zeros((2, 3)), [0.0, 0.02], np.zeros((2, 2)))
    assert more.get_id() == "17|2"
    assert len(scan) == len(list(scan)) == 2
    assert scan[0].channels is not scan.channels


def test_frames_without_a_time_are_not_valid() -> None:
    scan = Scan.from_arrays(np.zeros((4, 1)), [0.0, np.nan, 0.2, 0.3], np.zeros((2, 4)))
    np.testing.assert_array_equal(scan[0].frames.valid, [True, False, True, True])


def test_scans_that_make_no_sense() -> None:
    with pytest.raises(DataError, match="at frame 2"):
        Scan.from_arrays(np.zeros((3, 1)), [0.0, 0.1, 0.05], np.zeros((2, 3)))
    with pytest.raises(ParameterError, match="neither `time`"):
        Scan.from_arrays(np.zeros((3, 1)), None, np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="`data`"):
        Scan.from_arrays(np.zeros((3, 2)), [0.0, 0.1, 0.2], np.zeros((2, 3)), Channels([1, 2, 3]))
    with pytest.raises(ShapeError, match="`data`"):
        Scan.from_arrays(np.zeros(3), [0.0, 0.1, 0.2], np.zeros((2, 3)))
    with pytest.raises(DtypeError, match="`valid` has dtype float64; expected truth values"):
        Scan.from_arrays(np.zeros((3, 1)), [0.0, 0.1, 0.2], np.zeros((2, 3)), valid=[1.0, np.nan, 0.0])
    with pytest.raises(ShapeError, match="`valid` has shape"):
        Scan.from_arrays(np.zeros((3, 1)), [0.0, 0.1, 0.2], np.zeros((2, 3)), valid=[True])


@pytest.mark.parametrize("n_frames", [0, 1])
def test_scans_of_no_and_one_frame(n_frames: int) -> None:
    info = Info(Instrument(sampling_interval=0.1))
    scan = Scan.from_arrays(np.zeros((n_frames, 2)), np.zeros(n_frames), np.zeros((2, n_frames)), info=info)
    assert scan[0].size == n_frames
    assert scan.info.instrument.sampling_interval == 0.1


@pytest.mark.parametrize("name", ["sampling_interval", "resolution", "jansky_per_beam"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.inf])
def test_constants_must_be_positive(name: str, value: float) -> None:
    with pytest.raises(ParameterError, match=name):
        Instrument(**{name: value})  # type: ignore[arg-type] # names and numbers go together


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, "a"])
def test_the_gain_of_an_instrument_is_a_number_other_than_zero(value: Any) -> None:
    with pytest.raises(ParameterError, match="`gain` = "):
        Instrument(gain=value)


def test_constants_may_have_units() -> None:
    instrument = Instrument(sampling_interval=5.0 * units.ms, resolution=0.1 * units.arcmin)
    assert instrument.sampling_interval == pytest.approx(0.005)
    assert instrument.get_point_size() == pytest.approx(6.0)


def test_options_of_a_toml_text() -> None:
    text = """
    grid = [2.0, 3.0]
    "map.size" = "150x120"
    [smooth]
    value = "halfbeam"
    optimal = 9
    [source.filter]
    value = true
    type = "FFT"
    [pixelmap]
    writemaps = [3, 5]
    """
    options = Configuration.from_toml(text)
    assert options["grid"] == (2.0, 3.0)
    assert options["map.size"] == (150.0, 120.0)
    assert options["smooth"] == "halfbeam"
    assert options["smooth.optimal"] == 9.0
    assert options.get_bool("source.filter")
    assert options["source.filter.type"] == "fft"
    assert options["pixelmap.writemaps"] == (3, 5)
    assert Configuration(options.changed()).changed() == options.changed()
    with pytest.raises(ConfigError, match="not TOML"):
        Configuration.from_toml("grid = ")


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("source.flter", True, "did you mean source.filter"),
        ("pointing.method", "fit", "gaussian, peak"),
        ("grid", "-1", "larger than 0"),
        ("grid", "wide", "a number"),
        ("map.size", "150", None),
        ("map.size", "0x10", "two positive numbers"),
        ("clip", True, "a number"),
        ("clip", "nan", "a number"),
        ("pixelmap.process", "perhaps", "true or false"),
        ("source.redundancy", -1, "a whole number"),
        ("source.redundancy", 1.5, "a whole number"),
        ("smooth", "wildly", "halfbeam"),
        ("name", [1], "a text"),
        ("pixelmap.writemaps", "1,x", "a number"),
    ],
)
def test_options_are_checked(name: str, value: object, match: str | None) -> None:
    if match is None:
        assert Configuration({name: value})[name] == (150.0, 150.0)
        return
    with pytest.raises(ConfigError, match=match):
        Configuration({name: value})


def test_options_go_as_in_the_reference() -> None:
    options = Configuration({"source": {"sign": "-"}})
    options.parse_key_value("clip", "3.5")
    assert options.get_float("clip") == 3.5
    assert options.get_int("pointing.degree") == 3
    assert options.get_string("source.sign") == "-"
    assert options.is_configured("clip")
    assert not options.is_configured("blank")
    assert math.isnan(options.get_float("blank"))
    options.parse_key_value("source.filter", "True")
    options.purge("source.filter")
    assert not options.get_bool("source.filter")
    del options["clip"]
    assert options["clip"] is None
    with pytest.raises(ConfigError):
        options.purge("nothing")
    assert set(options) == set(OPTIONS)


def test_every_default_is_a_value_of_its_option() -> None:
    for option in OPTIONS.values():
        assert option.parse(option.default) == option.default
        assert option.meaning


class Foreign:
    """A configuration of the reference, as far as it is asked."""

    def __init__(self, **texts: str) -> None:
        self.texts = {name.replace("_", "."): text for name, text in texts.items()}

    def is_configured(self, key: str) -> bool:
        return key in self.texts

    def get_string(self, key: str) -> str:
        return self.texts[key]


def test_options_of_others_are_read_as_texts() -> None:
    foreign = Foreign(clip="2.5", pixelmap_process="True", smooth="None")
    assert setting(foreign, "clip") == 2.5
    assert setting(foreign, "pixelmap.process") is True
    assert setting(foreign, "smooth") is None
    assert setting(foreign, "pointing.degree") == 3
    assert setting(None, "source.sign") == "+"


@pytest.mark.parametrize(
    ("smooth", "fwhm"),
    [(None, 0.0), ("beam", 12.0), ("halfbeam", 6.0), ("2/3beam", 8.0), ("minimal", 3.6), (7.0, 7.0), ("optimal", 9.0)],
)
def test_words_for_beams(smooth: object, fwhm: float) -> None:
    info = Info(Instrument(resolution=12.0), {"smooth": smooth, "smooth.optimal": 9.0})
    grid = MapGrid((4, 4), (2.0, 2.0), (1.5, 1.5))
    assert requested_smoothing(info, grid) == pytest.approx(fwhm)
    coarse = MapGrid((4, 4), (20.0, 20.0), (1.5, 1.5))
    least = 0.0 if smooth is None else 20.0 / 1.0644670194
    assert requested_smoothing(info, coarse) == pytest.approx(least)


@pytest.mark.parametrize(
    "arguments",
    [
        ((0, 3), (1.0, 1.0), (0.0, 0.0)),
        ((3, 3), (1.0, -1.0), (0.0, 0.0)),
        ((3, 3), (1.0, math.nan), (0.0, 0.0)),
        ((3, 3), (1.0, 1.0), (math.inf, 0.0)),
        ((3, 3), (1.0, 1.0), (0.0, 0.0), "car"),
    ],
)
def test_grids_that_make_no_sense(arguments: Any) -> None:
    with pytest.raises(ParameterError):
        MapGrid(*arguments)


@pytest.mark.parametrize("projection", ["tan", "sfl"])
def test_offsets_and_places_are_inverse(projection: Any) -> None:
    grid = MapGrid((40, 50), (2.0, 3.0), (24.5, 18.5), projection)
    offset = np.random.default_rng(1).uniform(-300.0, 300.0, (2, 50))
    offset[:, 7] = np.nan
    place = grid.position_of(offset)
    assert np.isnan(place[:, 7]).all()
    np.testing.assert_allclose(grid.offset_of(place).value, offset, atol=1e-7)
    np.testing.assert_allclose(grid.position_of(np.zeros((2, 1)))[:, 0], grid.reference_index)
    # The formulas against those of wcslib, up to where the gnomonic projection ends.
    offset = np.random.default_rng(2).uniform(-85.0, 85.0, (2, 50)) * 3600.0
    place = grid.position_of(offset)
    np.testing.assert_allclose(place, grid.wcs().wcs_world2pix(offset.T / 3600.0, 0).T, rtol=1e-10, atol=1e-7)
    np.testing.assert_allclose(grid.offset_of(place).value, offset, rtol=1e-10, atol=1e-7)
    beyond = grid.position_of([[100.0 * 3600.0], [0.0]])
    assert np.isnan(beyond).all() == (projection == "tan")
    assert grid.wcs().array_shape == grid.shape
