"""Raw HAWC+ scans: what is read from them."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.exceptions import DataError
from pixtrace.io.scan.hawc import open_hawc
from pixtrace.io.scan.hawc_geometry import hawc_band, nominal_position
from pixtrace.io.scan.hawc_write import write_hawc
from pixtrace.io.scan.raw import ScanStream
from pixtrace.io.scan.simulated import stream_simulated
from pixtrace.io.scan.tables import ChannelTable, ScanFacts
from pixtrace.simulate import ScanParams, ScanSimulator, ScanSource
from tests.hawc_files import PARAMS
from tests.reference import IN_CI
from tests.untyped import fits


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
