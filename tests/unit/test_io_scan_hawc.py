"""Raw HAWC+ scans: what is read from them, and what is said of damaged ones."""

import gzip
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from pixtrace.exceptions import DataError, FileReadError, ParameterError, PixtraceError, UnsupportedModeError
from pixtrace.io.scan.hawc import is_simulated, open_hawc
from pixtrace.io.scan.hawc_geometry import hawc_band, nominal_position
from pixtrace.io.scan.hawc_write import write_hawc
from pixtrace.io.scan.raw import ScanStream
from pixtrace.io.scan.rows import RowFile
from pixtrace.io.scan.simulated import stream_simulated
from pixtrace.io.scan.tables import ChannelTable, ScanFacts
from pixtrace.simulate import ArrayLayout, ScanNoise, ScanParams, ScanSimulator, ScanSource
from tests.reference import IN_CI
from tests.untyped import fits

PARAMS = ScanParams(
    array=ArrayLayout(
        n_rows=4, n_columns=5, first_row=12, first_column=8, row_stride=32, centre=(15.5, 19.5), rotation=10.0
    ),
    noise=ScanNoise(jitter=0.05),
    n_frames=300,
    vpa=40.0,
)
Hdus: TypeAlias = Any  # of astropy, which has no types
Change: TypeAlias = Callable[[Hdus], None]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hawc") / "scan.fits"
    write_hawc(path, stream_simulated(ScanSimulator(PARAMS)))
    return path


@pytest.fixture(scope="module")
def simulator() -> ScanSimulator:
    return ScanSimulator(PARAMS)


@pytest.fixture(scope="module")
def reference_pixelmap(reference_dir: Path) -> Path:
    """Return the folder of the reference scan, which is too large for the copies in ``tests/data``."""
    folder = reference_dir / "pixelmap"
    if not (folder / "scan.fits.gz").is_file():
        if IN_CI:
            pytest.fail(f"{folder}/scan.fits.gz is missing")
        pytest.skip(f"{folder}/scan.fits.gz is missing: it is not among the small copies that come with the project")
    return folder


@pytest.fixture(scope="module")
def scan(reference_pixelmap: Path) -> ScanStream:
    return open_hawc(reference_pixelmap / "scan.fits.gz")


@pytest.fixture(scope="module")
def truth(reference_pixelmap: Path) -> dict[str, Any]:
    with np.load(reference_pixelmap / "scan_result.npz") as archive:
        return {key: archive[key] for key in archive.files if not key.startswith(("add_", "process_", "final_"))}


def changed(source: Path, target: Path, change: Change) -> Path:
    """Write a copy of a file in which something is different."""
    with fits.open(source) as hdus:
        change(hdus)
        hdus.writeto(target)
    return target


def without(*names: str) -> Change:
    """Return a change that takes columns away."""

    def change(hdus: Hdus) -> None:
        columns = fits.ColDefs([column for column in hdus[2].columns if column.name not in names])
        hdus[2] = fits.BinTableHDU.from_columns(columns, name="Timestream")

    return change


def with_values(name: str, values: Any) -> Change:
    """Return a change of some numbers of a column."""

    def change(hdus: Hdus) -> None:
        values(hdus[2].data[name])

    return change


class TestReferenceScan:
    """The scan of the reference data, against what sofia_redux 1.5.2 reads from it."""

    def test_channels(self, scan: ScanStream, truth: dict[str, Any]) -> None:
        np.testing.assert_array_equal(scan.channels.fixed_index, truth["fixed_index"])
        np.testing.assert_array_equal(scan.channels.row, truth["row"])
        np.testing.assert_array_equal(scan.channels.column, truth["col"])
        np.testing.assert_array_equal(scan.channels.reason == "blind", truth["row"] == 40)

    def test_nominal_positions_are_the_reference_ones(self, scan: ScanStream, truth: dict[str, Any]) -> None:
        kept = ~np.isin(truth["channel_fixed_index"], truth["mapped_pixels"]) & (truth["row"] < 40)
        np.testing.assert_allclose(scan.channels.position[:, kept], truth["position"][:, kept], atol=1e-9)

    def test_nominal_positions_without_the_rotation_of_the_array(self, truth: dict[str, Any]) -> None:
        found = nominal_position(
            0, truth["row"], truth["col"], pixel_size=4.02, boresight=(15.5, 19.5), date="2016-12-14", rotated=False
        )
        np.testing.assert_allclose(found, np.stack([truth["nominal_x"], truth["nominal_y"]]), atol=1e-12)

    def test_boresight(self, scan: ScanStream, truth: dict[str, Any]) -> None:
        offset = np.stack([truth["offset_x"], truth["offset_y"]])
        np.testing.assert_allclose(scan.frames.offset, offset, rtol=0.0, atol=1e-6)
        # The reference adds the pointing correction of the band.
        corrected = scan.frames.offset - truth["pointing_correction"][:, None]
        np.testing.assert_allclose(corrected, truth["horizontal_offset"], rtol=0.0, atol=1e-6)
        assert scan.frames.valid.all()
        np.testing.assert_array_equal(scan.frames.angle, 0.0)

    def test_data_are_those_of_the_reference_but_for_sign_and_level(
        self, scan: ScanStream, truth: dict[str, Any]
    ) -> None:
        columns = np.searchsorted(scan.channels.fixed_index, truth["map_pixels"])
        data = np.concatenate([chunk.data[:, columns] for chunk in scan.chunks(1000)]).astype(np.float64)
        signal = scan.facts.sign * data
        difference = signal - truth["frame_data"]
        np.testing.assert_allclose(difference - np.median(difference, axis=0), 0.0, atol=2e-3)

    def test_facts(self, scan: ScanStream) -> None:
        facts = scan.facts
        assert (facts.instrument, facts.band, facts.object_name) == ("HAWC_PLUS", "HAW_C", "simsource")
        assert facts.sampling_interval == pytest.approx(1.0 / 203.2520325)
        assert (facts.resolution, facts.pixel_size, facts.sign) == (7.8, 4.02, -1)
        assert not facts.is_nonsidereal


class TestRoundTrip:
    def test_everything_comes_back(self, written: Path, simulator: ScanSimulator) -> None:
        scan = open_hawc(written)
        np.testing.assert_allclose(scan.frames.offset, simulator.offset, atol=1e-9)
        np.testing.assert_array_equal(scan.frames.time, simulator.time)
        np.testing.assert_allclose(scan.frames.angle, 10.0, atol=1e-12)
        np.testing.assert_allclose(scan.frames.sky_angle, 40.0, atol=1e-12)
        columns = np.searchsorted(scan.channels.fixed_index, simulator.array.channel)
        data = scan.read()
        expected = simulator.run().data
        np.testing.assert_allclose(-data[:, columns], expected - expected[0], atol=1.01)
        assert not np.delete(data, columns, axis=1).any()

    def test_packed(self, written: Path, tmp_path: Path, simulator: ScanSimulator) -> None:
        plain, packed = open_hawc(written), tmp_path / "scan.fits.gz"
        write_hawc(packed, stream_simulated(simulator))
        assert gzip.decompress(packed.read_bytes()) == written.read_bytes()
        np.testing.assert_array_equal(open_hawc(packed).read(), plain.read())

    @pytest.mark.parametrize("length", [1, 7, 300, 5000])
    def test_pieces_are_the_whole(self, written: Path, length: int) -> None:
        scan = open_hawc(written)
        chunks = list(scan.chunks(length))
        assert all(len(chunk.data) <= length for chunk in chunks)
        assert [chunk.start for chunk in chunks] == list(range(0, 300, length))
        np.testing.assert_array_equal(np.concatenate([chunk.data for chunk in chunks]), scan.read())

    def test_astropy_accepts_it(self, written: Path) -> None:
        with fits.open(written) as hdus:
            hdus.verify("exception")
            assert hdus[2].data["SQ1Feedback"].shape == (300, 41, 128)
            assert hdus[0].header["SIMULATE"] is True

    def test_a_moving_target_is_followed(self, tmp_path: Path) -> None:
        params = ScanParams(
            array=PARAMS.array, n_frames=200, source=ScanSource(sky_motion=(0.5, -0.3)), vpa=25.0, dec=60.0
        )
        simulator = ScanSimulator(params)
        write_hawc(tmp_path / "planet.fits", stream_simulated(simulator), sky_motion=(0.5, -0.3))
        scan = open_hawc(tmp_path / "planet.fits")
        assert scan.facts.is_nonsidereal
        np.testing.assert_allclose(scan.frames.offset, simulator.offset, atol=1e-8)

    def test_refuses_channels_that_are_not_hawc(self, tmp_path: Path) -> None:
        scan = ScanStream.from_arrays(
            np.zeros((3, 2)), [0.0, 1.0, 2.0], np.zeros((2, 3)), channels=ChannelTable.make([0, 5248])
        )
        with pytest.raises(DataError, match="5247"):
            write_hawc(tmp_path / "scan.fits", scan)
        assert not list(tmp_path.iterdir())

    def test_refuses_data_that_are_no_counts(self, tmp_path: Path) -> None:
        data = np.zeros((3, 2))
        data[1, 1] = np.nan
        scan = ScanStream.from_arrays(
            data, [0.0, 1.0, 2.0], np.zeros((2, 3)), facts=ScanFacts(instrument="x", sampling_interval=1.0)
        )
        with pytest.raises(DataError, match="not finite"):
            write_hawc(tmp_path / "scan.fits", scan)
        assert not list(tmp_path.iterdir())


class TestGeometry:
    """Numbers that sofia_redux 1.5.2 gives for these subarrays and dates, as measured with it."""

    @pytest.mark.parametrize(
        ("date", "subarray", "corner"),
        [
            ("2016-04-20", 0, (-15.56797327, 19.4457761)),
            ("2016-04-20", 2, (-14.97989672, 19.99783224)),
            ("2016-12-14", 0, (-15.80438049, 19.25413092)),
            ("2016-12-14", 1, (51.82993556, -18.68819627)),
            ("2016-12-14", 2, (-15.62707294, 19.42693726)),
            ("2018-12-14", 0, (-15.5340103, 19.47291771)),
            ("2018-12-14", 1, (51.56395542, -19.41003353)),
            ("2018-12-14", 2, (-15.03488372, 19.97378961)),
            ("", 2, (-15.03488372, 19.97378961)),
        ],
    )
    def test_corner_of_a_subarray(self, date: str, subarray: int, corner: tuple[float, float]) -> None:
        found = nominal_position(
            subarray, np.array([39]), np.array([0]), pixel_size=4.02, boresight=(15.5, 19.5), date=date
        )
        np.testing.assert_allclose(found[:, 0] / 4.02, corner, atol=1e-7)

    def test_the_fourth_subarray_has_no_place(self) -> None:
        found = nominal_position(
            3, np.array([0]), np.array([0]), pixel_size=4.02, boresight=(15.5, 19.5), date="2018-01-01"
        )
        assert np.isnan(found).all()

    def test_bands(self) -> None:
        assert hawc_band("HAW_E").fwhm == 18.2
        assert hawc_band("d").pixel_size == 6.93
        with pytest.raises(DataError, match="HAW_A, HAW_B, HAW_C, HAW_D, HAW_E"):
            hawc_band("HAW_Z")


class TestVariants:
    def test_optional_columns_may_be_missing(
        self, written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = changed(
            written,
            tmp_path / "few.fits",
            without("FluxJumps", "Flag", "LST", "Chop_VPA", "NonSiderealRA", "NonSiderealDec", "AZ", "EL", "PWV"),
        )
        with caplog.at_level(logging.WARNING):
            scan = open_hawc(path)
        assert "Flag" in caplog.text
        np.testing.assert_array_equal(scan.read(), open_hawc(written).read())
        np.testing.assert_allclose(scan.frames.offset, open_hawc(written).frames.offset, atol=1e-9)

    def test_the_configuration_may_be_missing(self, written: Path, tmp_path: Path) -> None:
        def forget(hdus: Hdus) -> None:
            assert hdus[1].name == "CONFIGURATION"
            del hdus[1]

        path = changed(written, tmp_path / "bare.fits", forget)
        np.testing.assert_array_equal(open_hawc(path).read(), open_hawc(written).read())

    def test_flagged_frames_are_not_valid(self, written: Path, tmp_path: Path) -> None:
        def flag(column: Any) -> None:
            column[[3, 7, 9]] = [1, 2, 3]

        scan = open_hawc(changed(written, tmp_path / "flag.fits", with_values("Flag", flag)))
        np.testing.assert_array_equal(np.flatnonzero(~scan.frames.valid), [3, 7, 9])

    def test_frames_without_boresight_are_not_valid(self, written: Path, tmp_path: Path) -> None:
        def lose(column: Any) -> None:
            column[5:8] = np.nan

        scan = open_hawc(changed(written, tmp_path / "lost.fits", with_values("RA", lose)))
        np.testing.assert_array_equal(np.flatnonzero(~scan.frames.valid), [5, 6, 7])

    def test_several_tables_follow_each_other(self, written: Path, tmp_path: Path) -> None:
        def split(hdus: Hdus) -> None:
            data = hdus[2].data
            first, second = fits.BinTableHDU(data[:120]), fits.BinTableHDU(data[120:])
            first.name = second.name = "Timestream"
            hdus[2] = first
            hdus.append(second)

        scan, whole = open_hawc(changed(written, tmp_path / "two.fits", split)), open_hawc(written)
        assert scan.n_frames == 300
        np.testing.assert_array_equal(scan.read(), whole.read())
        np.testing.assert_array_equal(scan.frames.offset, whole.frames.offset)
        assert [chunk.start for chunk in scan.chunks(100)] == [0, 100, 120, 220]

    def test_only_the_subarrays_that_were_read_out(self, written: Path, tmp_path: Path) -> None:
        def two(hdus: Hdus) -> None:
            hdus[0].header["MCEMAP"] = "0,-1,2,-1"
            hdus[2].data["SQ1Feedback"][:, 3, 64 + 5] = np.arange(300)

        scan = open_hawc(changed(written, tmp_path / "two.fits", two))
        assert scan.n_channels == 2 * 1312
        np.testing.assert_array_equal(np.unique(scan.channels.fixed_index // 1312), [0, 2])
        column = int(np.flatnonzero(scan.channels.fixed_index == 2 * 1312 + 3 * 32 + 5)[0])
        np.testing.assert_array_equal(scan.read()[:, column], np.arange(300))
        assert (scan.channels.row[column], scan.channels.column[column]) == (3, 69)

    def test_flux_jumps_are_handed_on_where_there_are_any(self, written: Path, tmp_path: Path) -> None:
        def jump(column: Any) -> None:
            column[150:, 13, 9] = 1

        scan = open_hawc(changed(written, tmp_path / "jump.fits", with_values("FluxJumps", jump)))
        (first, second, third) = scan.chunks(100)
        assert first.jumps is None
        assert third.jumps is None
        assert second.jumps is not None
        assert np.argwhere(np.diff(second.jumps, axis=0)).tolist() == [[49, 13 * 32 + 9]]

    def test_large_counts_keep_their_steps(self, written: Path, tmp_path: Path) -> None:
        def lift(column: Any) -> None:
            column += 2_000_000_000

        scan = open_hawc(changed(written, tmp_path / "high.fits", with_values("SQ1Feedback", lift)))
        np.testing.assert_array_equal(scan.read(), open_hawc(written).read())

    def test_a_flat_column_of_the_right_length_will_do(self, written: Path, tmp_path: Path) -> None:
        def flatten(hdus: Hdus) -> None:
            header = hdus[2].header
            for key in [key for key in header if key.startswith("TDIM")]:
                del header[key]

        path = changed(written, tmp_path / "flat.fits", flatten)
        np.testing.assert_array_equal(open_hawc(path).read(), open_hawc(written).read())

    def test_units_are_heeded(self, written: Path, tmp_path: Path) -> None:
        def to_degrees(hdus: Hdus) -> None:
            hdus[2].data["RA"][:] *= 15.0
            hdus[2].columns["RA"].unit = "deg"

        scan = open_hawc(changed(written, tmp_path / "deg.fits", to_degrees))
        np.testing.assert_allclose(scan.frames.offset, open_hawc(written).frames.offset, atol=1e-7)

    def test_the_boresight_may_lag_behind_the_data(self, written: Path) -> None:
        scan, shifted = open_hawc(written), open_hawc(written, pointing_shift=-0.0123)
        expected = PARAMS.pattern.offsets(scan.frames.time - PARAMS.start - 0.0123)
        inside = shifted.frames.valid
        assert 0 < np.count_nonzero(~inside) < 5
        np.testing.assert_allclose(shifted.frames.offset[:, inside], expected[:, inside], atol=0.05)
        with pytest.raises(ParameterError, match="pointing_shift"):
            open_hawc(written, pointing_shift="soon")  # type: ignore[arg-type]

    def test_real_files_are_shifted_and_simulated_ones_not(self, written: Path, tmp_path: Path) -> None:
        def real(hdus: Hdus) -> None:
            del hdus[0].header["SIMULATE"]

        path = changed(written, tmp_path / "real.fits", real)
        np.testing.assert_array_equal(
            open_hawc(path).frames.offset, open_hawc(written, pointing_shift=-0.014).frames.offset
        )
        assert is_simulated({"OBS_ID": "2016-12-14_HA_F999-sim-240"})
        assert not is_simulated({"OBS_ID": "2016-12-14_HA_F354"})

    def test_rate_that_the_times_contradict(
        self, written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def slow(hdus: Hdus) -> None:
            hdus[0].header["SMPLFREQ"] = 100.0

        with caplog.at_level(logging.WARNING):
            scan = open_hawc(changed(written, tmp_path / "slow.fits", slow))
        assert "SMPLFREQ" in caplog.text
        assert scan.facts.sampling_interval == pytest.approx(1.0 / 203.25, rel=0.02)

    def test_target_from_elsewhere(self, written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        def forget(hdus: Hdus) -> None:
            for key in ("OBSRA", "OBSDEC", "OBJRA", "OBJDEC"):
                del hdus[0].header[key]

        with caplog.at_level(logging.WARNING):
            scan = open_hawc(changed(written, tmp_path / "where.fits", forget))
        assert "middle of the scan" in caplog.text
        difference = scan.frames.offset - open_hawc(written).frames.offset
        np.testing.assert_allclose(difference - difference[:, :1], 0.0, atol=1e-3)

    def test_sofia_writes_minus_9999_for_what_is_not_known(self, written: Path, tmp_path: Path) -> None:
        def forget(hdus: Hdus) -> None:
            for key in ("OBSRA", "OBSDEC", "SIBS_X", "SIBS_Y", "SMPLFREQ"):
                hdus[0].header[key] = -9999

        scan, whole = open_hawc(changed(written, tmp_path / "unknown.fits", forget)), open_hawc(written)
        np.testing.assert_array_equal(scan.frames.offset, whole.frames.offset)
        np.testing.assert_array_equal(scan.channels.position, whole.channels.position)
        assert scan.facts.sampling_interval == pytest.approx(whole.facts.sampling_interval, rel=0.01)

    def test_some_channels(self, written: Path, simulator: ScanSimulator) -> None:
        whole = open_hawc(written)
        alive = ~whole.is_constant()
        kept = whole.select(alive)
        good = simulator.array.channel[simulator.array.reason != "dead"]
        np.testing.assert_array_equal(kept.channels.fixed_index, good)
        np.testing.assert_array_equal(kept.read(), whole.read()[:, alive])
        np.testing.assert_array_equal(kept.channels.position, whole.channels.position[:, alive])

    def test_memory_is_bounded(self, tmp_path: Path) -> None:
        """A file of 315 MB, most of it holes, is read in less than a fifth of that."""
        n_frames = 10_000
        scan = ScanStream.from_arrays(np.zeros((2, 1)), [0.0, 1.0], np.zeros((2, 2)))
        path = tmp_path / "large.fits"
        write_hawc(path, scan)
        with fits.open(path) as hdus:
            start, length = hdus[2].fileinfo()["datLoc"], hdus[2].header["NAXIS1"]
            row = path.read_bytes()[start : start + length]
        content = path.read_bytes()[:start].replace(
            b"NAXIS2  =                    2", b"NAXIS2  =                10000"
        )
        stamp = RowFile(path).tables[0].columns["TIMESTAMP"].start
        with path.open("wb") as file:
            file.write(content)
            for k in range(n_frames):
                file.seek(start + k * length)
                file.write(row[:stamp] + np.array(float(k), ">f8").tobytes() + row[stamp + 8 : 400])
            file.truncate(start + -(-n_frames * length // 2880) * 2880)
        code = (
            "import resource, sys\n"
            "from pixtrace.io.scan.hawc import open_hawc\n"
            "import astropy.io.fits\n"
            "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "before = peak()\n"
            "scan = open_hawc(sys.argv[1])\n"
            "print(sum(len(chunk.data) for chunk in scan.chunks(200)), peak() - before)\n"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
        frames, kilobytes = map(int, done.stdout.split())
        assert frames == n_frames
        assert kilobytes < 63_000


class TestDamage:
    @pytest.mark.parametrize("name", ["SQ1Feedback", "Timestamp", "RA", "DEC", "SIBS_VPA", "TABS_VPA"])
    def test_a_missing_column_is_named(self, written: Path, tmp_path: Path, name: str) -> None:
        path = changed(written, tmp_path / "missing.fits", without(name))
        with pytest.raises(FileReadError, match=rf"missing\.fits, HDU 2 \(TIMESTREAM\): no column {name.upper()};"):
            open_hawc(path)

    @pytest.mark.parametrize("keyword", ["SPECTEL1", "MCEMAP"])
    def test_a_missing_keyword_is_named(self, written: Path, tmp_path: Path, keyword: str) -> None:
        def forget(hdus: Hdus) -> None:
            del hdus[0].header[keyword]

        with pytest.raises(FileReadError, match=f"no {keyword}"):
            open_hawc(changed(written, tmp_path / "keyword.fits", forget))

    @pytest.mark.parametrize(
        ("keyword", "value", "error", "message"),
        [
            ("SPECTEL1", "HAW_Q", DataError, "HAW_Q.*expected one of HAW_A"),
            ("MCEMAP", "-1,-1,-1,-1", DataError, "not all of them -1"),
            ("MCEMAP", "zero", DataError, "4 whole numbers"),
            ("CHOPPING", True, UnsupportedModeError, "chopper"),
        ],
    )
    def test_impossible_keywords(
        self, written: Path, tmp_path: Path, keyword: str, value: object, error: type[PixtraceError], message: str
    ) -> None:
        def change(hdus: Hdus) -> None:
            hdus[0].header[keyword] = value

        with pytest.raises(error, match=message) as caught:
            open_hawc(changed(written, tmp_path / "keyword.fits", change))
        assert "keyword.fits" in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "place", "value", "message"),
        [
            ("Timestamp", 17, np.nan, "1 of 300 frames is not finite .the first is frame 17"),
            ("Timestamp", 17, 0.0, "does not grow from frame 16"),
            ("RA", 3, 99.0, "RA runs from .* expected hours from 0 to 24"),
            ("DEC", 3, 700.0, "DEC runs from .* expected degrees"),
            ("RA", slice(None), np.nan, "boresight is not finite in any frame"),
            ("Flag", slice(None), 1, "none of the 300 frames"),
        ],
    )
    def test_impossible_numbers(
        self, written: Path, tmp_path: Path, name: str, place: Any, value: float, message: str
    ) -> None:
        def change(column: Any) -> None:
            column[place] = value

        with pytest.raises(DataError, match=message) as caught:
            open_hawc(changed(written, tmp_path / "numbers.fits", with_values(name, change)))
        assert "numbers.fits" in str(caught.value)

    def test_impossible_unit(self, written: Path, tmp_path: Path) -> None:
        def change(hdus: Hdus) -> None:
            hdus[2].columns["RA"].unit = "Jy"

        with pytest.raises(DataError, match=r"HDU 2 \(TIMESTREAM\), column RA has the unit 'Jy'; expected one of h,"):
            open_hawc(changed(written, tmp_path / "unit.fits", change))

    def test_impossible_dimensions(self, written: Path, tmp_path: Path) -> None:
        def change(hdus: Hdus) -> None:
            columns = [column for column in hdus[2].columns if column.name != "SQ1Feedback"]
            columns.append(fits.Column("SQ1Feedback", "12J", dim="(4,3)", array=np.zeros((300, 3, 4), dtype=np.int32)))
            hdus[2] = fits.BinTableHDU.from_columns(columns, name="Timestream")

        with pytest.raises(DataError, match=r"12J.*expected 5248 numbers, 41 rows of 128 columns"):
            open_hawc(changed(written, tmp_path / "shape.fits", change))

    @pytest.mark.parametrize("kept", [0.99, 0.5, 0.0005])
    def test_truncated(self, written: Path, tmp_path: Path, kept: float) -> None:
        path = tmp_path / "short.fits"
        content = written.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(FileReadError, match=r"short\.fits ends too early.*complete copy"):
            open_hawc(path)

    def test_truncated_says_how_many_rows_are_there(self, written: Path, tmp_path: Path) -> None:
        path = tmp_path / "short.fits"
        content = written.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(FileReadError, match=r"HDU 2 \(TIMESTREAM\), \d+ are there: 1\d\d of 300 rows"):
            open_hawc(path)

    def test_truncated_packed(self, written: Path, tmp_path: Path) -> None:
        path = tmp_path / "short.fits.gz"
        content = gzip.compress(written.read_bytes(), 1)
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(FileReadError, match="cannot be unpacked"):
            open_hawc(path)

    @pytest.mark.parametrize(
        ("content", "message"), [(b"", "empty"), (b"hello" * 1000, "not a FITS file"), (b"\x1f\x8bxxxx", "unpacked")]
    )
    def test_other_files(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = tmp_path / "other.fits"
        path.write_bytes(content)
        with pytest.raises(FileReadError, match=message):
            open_hawc(path)

    def test_no_table(self, written: Path, tmp_path: Path) -> None:
        def rename(hdus: Hdus) -> None:
            hdus[2].name = "HOUSEKEEPING"

        with pytest.raises(FileReadError, match=r"no table TIMESTREAM.*HOUSEKEEPING"):
            open_hawc(changed(written, tmp_path / "none.fits", rename))

    def test_no_file_and_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(FileReadError, match="does not exist"):
            open_hawc(tmp_path / "nowhere.fits")
        with pytest.raises(FileReadError, match="is a directory"):
            open_hawc(tmp_path)

    def test_a_full_temporary_directory(self, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        path = tmp_path / "scan.fits.gz"
        path.write_bytes(gzip.compress(written.read_bytes(), 1))
        monkeypatch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(FileReadError, match="the disk is full; make room there, set TMPDIR"):
            open_hawc(path)
