"""Tables of single samples, as maria writes them for MUSTANG-2."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.exceptions import DataError, FileReadError
from pixtrace.io.scan import open_scan
from pixtrace.simulate import ArrayLayout, ScanNoise, ScanParams, SimulatedScan, simulate_scan
from tests.untyped import fits

N_FRAMES, RA, DEC = 90, 150.0, 30.0
TURN = np.radians(20.0)


@pytest.fixture(scope="module")
def simulated() -> SimulatedScan:
    """Return a scan of an array that turns on the sky by 20 degrees while it scans."""
    layout = ArrayLayout(n_rows=3, n_columns=4, dead_fraction=0.0)
    return simulate_scan(ScanParams(array=layout, noise=ScanNoise(level=5.0), n_frames=N_FRAMES))


def angle() -> npt.NDArray[np.float64]:
    return np.linspace(0.0, float(TURN), N_FRAMES)


def columns_of(scan: SimulatedScan, *, absolute: bool, kind: str = "D") -> dict[str, Any]:
    """Return the columns, arrays of shape (n_pixels, n_frames)."""
    n = scan.array.n_channels
    cosine, sine = np.cos(angle()), np.sin(angle())
    px, py = scan.array.position[:, :, None]
    x, y = scan.offset[0] + px * cosine - py * sine, scan.offset[1] + px * sine + py * cosine
    dec = (DEC if absolute else 0.0) + y / 3600.0
    ra = RA - x / 3600.0 / np.cos(np.radians(DEC)) if absolute else -x / 3600.0
    ones = np.ones((n, N_FRAMES))
    return {
        "DX": fits.Column("DX   ", kind, unit="radians", array=np.radians(ra)),
        "DY": fits.Column("DY   ", kind, unit="radians", array=np.radians(dec)),
        "FNU": fits.Column("FNU  ", "E", unit="K_RJ", array=scan.data.T),
        "UFNU": fits.Column("UFNU ", "E", array=0.0 * ones),
        "TIME": fits.Column("TIME ", "D", unit="s", array=(scan.time - scan.time[0]) * ones),
        "COL": fits.Column("COL  ", "I", array=scan.array.column[:, None] * ones),
        "ROW": fits.Column("ROW  ", "I", array=scan.array.row[:, None] * ones),
        "PIXID": fits.Column("PIXID", "I", array=(np.arange(n)[:, None] + 40) * ones),
        "SCAN": fits.Column("SCAN ", "I", array=0.0 * ones),
        "ELEV": fits.Column("ELEV ", "E", array=0.7 * ones),
    }


def write(path: Path, columns: dict[str, Any], *, order: Any = None, target: bool = True, left_out: str = "") -> Path:
    """Write a table; `order` says in which order its rows come."""
    listed = []
    for name, column in columns.items():
        if name != left_out:
            values = np.asarray(column.array).ravel()
            values = values if order is None else values[order]
            listed.append(fits.Column(column.name, column.format, unit=column.unit, array=values))
    header = fits.Header({"BMAJ": 9.0, "OBJECT": "Uranus"})
    if target:
        header["TARGRA"], header["TARGDEC"] = RA, DEC
    fits.BinTableHDU.from_columns(listed, header=header).writeto(path)
    return path


def orders(n: int) -> dict[str, Any]:
    rows = np.arange(n * N_FRAMES).reshape(n, N_FRAMES)
    return {
        "by pixel": rows.ravel(),
        "by time": rows.T.ravel(),
        "any": np.random.default_rng(0).permutation(n * N_FRAMES),
    }


class TestReading:
    @pytest.mark.parametrize("order", ["by pixel", "by time", "any"])
    def test_data_in_any_order(self, simulated: SimulatedScan, tmp_path: Path, order: str) -> None:
        path = write(tmp_path / "m2.fits", columns_of(simulated, absolute=True), order=orders(12)[order])
        scan = open_scan(path)
        expected = simulated.data - simulated.data[0]
        np.testing.assert_allclose(scan.read(), expected, atol=1e-3)
        np.testing.assert_array_equal(np.concatenate([chunk.data for chunk in scan.chunks(7)]), scan.read())
        np.testing.assert_allclose(scan.frames.time, simulated.time - simulated.time[0])
        np.testing.assert_array_equal(scan.channels.fixed_index, np.arange(12) + 40)
        np.testing.assert_array_equal(scan.channels.column, simulated.array.column)
        np.testing.assert_array_equal(scan.channels.row, simulated.array.row)

    @pytest.mark.parametrize("absolute", [True, False])
    def test_boresight_angle_and_positions(self, simulated: SimulatedScan, tmp_path: Path, *, absolute: bool) -> None:
        scan = open_scan(write(tmp_path / "m2.fits", columns_of(simulated, absolute=absolute)))
        middle = simulated.array.position.mean(axis=1, keepdims=True)
        cosine, sine = np.cos(angle()), np.sin(angle())
        moved = np.stack([middle[0] * cosine - middle[1] * sine, middle[0] * sine + middle[1] * cosine])
        tolerance = 2e-3 if absolute else 1e-8  # the sky is not flat
        np.testing.assert_allclose(scan.frames.offset, simulated.offset + moved, atol=tolerance)
        np.testing.assert_allclose(scan.frames.angle, np.degrees(angle()), atol=1e-2 if absolute else 1e-8)
        np.testing.assert_allclose(scan.channels.position, simulated.array.position - middle, atol=tolerance)

    def test_a_pixel_at_p_sees_the_source_at_minus_p(self, simulated: SimulatedScan, tmp_path: Path) -> None:
        scan = open_scan(write(tmp_path / "m2.fits", columns_of(simulated, absolute=False)))
        turn = np.radians(scan.frames.angle)
        x, y = scan.channels.position[:, :, None]
        look_x = scan.frames.offset[0] + x * np.cos(turn) - y * np.sin(turn)
        look_y = scan.frames.offset[1] + x * np.sin(turn) + y * np.cos(turn)
        columns = columns_of(simulated, absolute=False)
        np.testing.assert_allclose(-look_x, np.degrees(columns["DX"].array) * 3600.0, atol=1e-6)
        np.testing.assert_allclose(look_y, np.degrees(columns["DY"].array) * 3600.0, atol=1e-6)

    def test_single_precision_is_read_as_well_as_it_allows(self, simulated: SimulatedScan, tmp_path: Path) -> None:
        scan = open_scan(write(tmp_path / "m2.fits", columns_of(simulated, absolute=False, kind="E")))
        middle = simulated.array.position.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(scan.channels.position, simulated.array.position - middle, atol=1e-3)

    def test_facts(self, simulated: SimulatedScan, tmp_path: Path) -> None:
        facts = open_scan(write(tmp_path / "m2.fits", columns_of(simulated, absolute=True))).facts
        assert (facts.instrument, facts.scan_id, facts.object_name) == ("MUSTANG-2", "m2", "Uranus")
        assert (facts.resolution, facts.unit) == (9.0, "K_RJ")
        assert facts.sampling_interval == pytest.approx(1.0 / 203.25, rel=1e-4)

    def test_without_a_target_the_middle_of_the_scan_is_the_source(
        self, simulated: SimulatedScan, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            scan = open_scan(write(tmp_path / "m2.fits", columns_of(simulated, absolute=True), target=False))
        assert "TARGRA" in caplog.text
        assert np.abs(np.median(scan.frames.offset, axis=1)).max() < 40.0

    @pytest.mark.parametrize("left_out", ["UFNU", "SCAN", "COL", "ELEV"])
    def test_optional_columns(self, simulated: SimulatedScan, tmp_path: Path, left_out: str) -> None:
        scan = open_scan(write(tmp_path / "m2.fits", columns_of(simulated, absolute=True), left_out=left_out))
        assert np.isfinite(scan.read()).all()

    def test_samples_without_uncertainty_are_not_used(self, simulated: SimulatedScan, tmp_path: Path) -> None:
        columns = columns_of(simulated, absolute=True)
        uncertainty = np.full((12, N_FRAMES), 0.1)
        uncertainty[3, 8] = 0.0
        columns["UFNU"] = fits.Column("UFNU", "E", array=uncertainty)
        data = open_scan(write(tmp_path / "m2.fits", columns)).read()
        assert np.argwhere(np.isnan(data)).tolist() == [[8, 3]]


class TestDamage:
    @pytest.mark.parametrize("name", ["DX", "DY", "TIME"])
    def test_a_missing_column_is_named(self, simulated: SimulatedScan, tmp_path: Path, name: str) -> None:
        path = write(tmp_path / "m2.fits", columns_of(simulated, absolute=True), left_out=name)
        with pytest.raises(FileReadError, match=rf"m2\.fits, HDU 1 \(unnamed\): no column {name};"):
            open_scan(path)

    def test_pixels_of_different_length(self, simulated: SimulatedScan, tmp_path: Path) -> None:
        path = write(tmp_path / "m2.fits", columns_of(simulated, absolute=True), order=np.arange(12 * N_FRAMES - 5))
        with pytest.raises(DataError, match="PIXID 51 has 85 rows, most pixels have 90"):
            open_scan(path)

    def test_pixels_of_different_times(self, simulated: SimulatedScan, tmp_path: Path) -> None:
        columns = columns_of(simulated, absolute=True)
        columns["TIME"].array[4, 10] += 0.01
        with pytest.raises(DataError, match=r"column TIME: time 10 of PIXID 44 is 0\.01 s from that of PIXID 40"):
            open_scan(write(tmp_path / "m2.fits", columns))

    def test_times_that_are_not_finite(self, simulated: SimulatedScan, tmp_path: Path) -> None:
        columns = columns_of(simulated, absolute=True)
        columns["TIME"].array[:, 10] = np.nan
        with pytest.raises(DataError, match="time of 1 of 90 frames is not finite"):
            open_scan(write(tmp_path / "m2.fits", columns))

    def test_impossible_unit(self, simulated: SimulatedScan, tmp_path: Path) -> None:
        columns = columns_of(simulated, absolute=True)
        columns["DX"] = fits.Column("DX", "D", unit="K", array=columns["DX"].array)
        with pytest.raises(DataError, match="column DX has the unit 'K'"):
            open_scan(write(tmp_path / "m2.fits", columns))

    def test_no_pointing(self, simulated: SimulatedScan, tmp_path: Path) -> None:
        columns = columns_of(simulated, absolute=True)
        columns["DX"].array[:] = np.nan
        with pytest.raises(DataError, match="not finite in any row"):
            open_scan(write(tmp_path / "m2.fits", columns))
