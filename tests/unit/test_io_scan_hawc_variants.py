"""Raw HAWC+ scans that are not like the others, and what is read from them."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.exceptions import ParameterError
from pixtrace.io.scan.hawc import is_simulated, open_hawc
from pixtrace.io.scan.hawc_write import write_hawc
from pixtrace.io.scan.raw import ScanStream
from pixtrace.io.scan.rows import RowFile
from pixtrace.io.scan.simulated import stream_simulated
from pixtrace.simulate import ScanSimulator
from tests.hawc_files import PARAMS, Hdus, changed, with_values, without
from tests.untyped import fits


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hawc") / "scan.fits"
    write_hawc(path, stream_simulated(ScanSimulator(PARAMS)))
    return path


@pytest.fixture(scope="module")
def simulator() -> ScanSimulator:
    return ScanSimulator(PARAMS)


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
