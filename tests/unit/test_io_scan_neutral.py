"""The neutral form of scans: what is written comes back from FITS, HDF5 and ECSV alike."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from pixtrace.exceptions import DataError, FileReadError, OutputExistsError, ParameterError, ShapeError
from pixtrace.io.scan import (
    ChannelTable,
    ScanFacts,
    ScanStream,
    open_scan,
    open_scans,
    stream_simulated,
    write_hawc,
    write_neutral_ecsv,
    write_neutral_fits,
    write_neutral_hdf5,
)
from pixtrace.simulate import ArrayLayout, ScanNoise, ScanParams, ScanSimulator
from tests.untyped import fits, h5py, table

PARAMS = ScanParams(
    array=ArrayLayout(n_rows=3, n_columns=4, rotation=5.0),
    noise=ScanNoise(jitter=0.05, level=0.0),
    n_frames=120,
    vpa=30.0,
)
Hdus: TypeAlias = Any  # of astropy, which has no types
Write: TypeAlias = Callable[..., None]

FORMS: dict[str, Write] = {
    "scan.fits": write_neutral_fits,
    "scan.fits.gz": write_neutral_fits,
    "scan.h5": write_neutral_hdf5,
    "scan.ecsv": write_neutral_ecsv,
}


def example() -> ScanStream:
    """Return a scan in which everything is known, with holes in data and pointing."""
    simulated = ScanSimulator(PARAMS).run()
    data, offset = simulated.data.copy(), simulated.offset.copy()
    data[5, 2] = np.nan
    offset[:, 7] = np.nan
    valid = np.ones(120, dtype=bool)
    valid[:3] = False
    channels = ChannelTable.make(
        simulated.array.channel + 100,
        simulated.array.nominal_position,
        row=simulated.array.row,
        column=simulated.array.column,
        group=simulated.array.column // 2,
        gain=simulated.array.gain + 0.5,
        reason=np.where(np.arange(12) == 4, "dead", ""),
    )
    facts = ScanFacts(
        instrument="CAM",
        band="850",
        scan_id="cam-7",
        object_name="Uranus",
        date="2026-01-02T03:04:05",
        sampling_interval=0.005,
        resolution=12.5,
        pixel_size=4.02,
        unit="mV",
        sign=-1,
        is_nonsidereal=True,
        ra=3.5,
        dec=-20.25,
        header={"OBSERVER": "Caroline H."},
    )
    return ScanStream.from_arrays(
        data, simulated.time, offset, angle=5.0, sky_angle=30.0, valid=valid, channels=channels, facts=facts
    )


@pytest.fixture(params=list(FORMS))
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    FORMS[path.name](path, example())
    return path


class TestRoundTrip:
    def test_data(self, written: Path) -> None:
        expected, scan = example().read(), open_scan(written)
        np.testing.assert_allclose(scan.read(), expected - expected[0], rtol=1e-6, atol=2e-4)

    def test_frames(self, written: Path) -> None:
        expected, frames = example().frames, open_scan(written).frames
        for name in ("time", "offset", "angle", "sky_angle", "valid"):
            np.testing.assert_allclose(getattr(frames, name), getattr(expected, name), rtol=1e-15, err_msg=name)
        np.testing.assert_array_equal(np.flatnonzero(~frames.valid), [0, 1, 2, 7])

    def test_channels(self, written: Path) -> None:
        expected, channels = example().channels, open_scan(written).channels
        for name in ("fixed_index", "position", "row", "column", "group", "gain", "reason"):
            np.testing.assert_array_equal(getattr(channels, name), getattr(expected, name), err_msg=name)

    def test_facts(self, written: Path) -> None:
        expected, facts = example().facts, open_scan(written).facts
        assert {key: value for key, value in facts.header.items() if key == "OBSERVER"} == expected.header
        for name in ScanFacts.__dataclass_fields__:
            if name != "header":
                assert getattr(facts, name) == pytest.approx(getattr(expected, name)), name

    @pytest.mark.parametrize("length", [1, 50, 120, 1000])
    def test_pieces_are_the_whole(self, written: Path, length: int) -> None:
        scan = open_scan(written)
        chunks = list(scan.chunks(length))
        assert [chunk.start for chunk in chunks] == list(range(0, 120, length))
        np.testing.assert_array_equal(np.concatenate([chunk.data for chunk in chunks]), scan.read())

    def test_a_file_is_not_replaced_unasked(self, written: Path) -> None:
        with pytest.raises(OutputExistsError):
            FORMS[written.name](written, example())
        FORMS[written.name](written, example(), overwrite=True)
        assert [path.name for path in written.parent.iterdir()] == [written.name]

    def test_little_is_enough(self, tmp_path: Path) -> None:
        bare = ScanStream.from_arrays(np.arange(6.0).reshape(3, 2), [0.0, 0.1, 0.2], np.zeros((2, 3)))
        for name, write in FORMS.items():
            write(tmp_path / name, bare)
            scan = open_scan(tmp_path / name)
            assert scan.facts.sampling_interval == pytest.approx(0.1)
            assert np.isnan(scan.facts.resolution)
            assert np.isnan(scan.channels.position).all()
            assert np.isnan(scan.frames.sky_angle).all()
            np.testing.assert_array_equal(scan.channels.fixed_index, [0, 1])
            np.testing.assert_array_equal(scan.read(), [[0, 0], [2, 2], [4, 4]])

    def test_the_boresight_may_lag(self, written: Path) -> None:
        scan = open_scan(written, pointing_shift=0.01)
        expected = PARAMS.pattern.offsets(scan.frames.time - PARAMS.start + 0.01)
        inside = scan.frames.valid
        np.testing.assert_allclose(scan.frames.offset[:, inside], expected[:, inside], atol=0.05)
        with pytest.raises(ParameterError, match="pointing_shift"):
            open_scan(written, pointing_shift=float("nan"))

    def test_simulations_can_be_written_by_the_piece(self, tmp_path: Path) -> None:
        simulator = ScanSimulator(PARAMS)
        for name, write in FORMS.items():
            write(tmp_path / name, stream_simulated(simulator))
            expected = simulator.run().data
            np.testing.assert_allclose(open_scan(tmp_path / name).read(), expected - expected[0], atol=2e-4)


class TestByHand:
    """Files made with the tools that people have."""

    def test_fits(self, tmp_path: Path) -> None:
        frames = table.Table({"time": [0.0, 50.0, 100.0], "x": [0.0, 1.0, 2.0], "y": [3.0, 4.0, 5.0]})
        frames["data"] = np.arange(6, dtype=np.int16).reshape(3, 2)
        frames["time"].unit, frames["x"].unit, frames["y"].unit = "ms", "arcmin", "arcsec"
        hdu = fits.table_to_hdu(frames)
        hdu.name = "frames"
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "hand.fits")
        scan = open_scan(tmp_path / "hand.fits")
        np.testing.assert_allclose(scan.frames.time, [0.0, 0.05, 0.1])
        np.testing.assert_allclose(scan.frames.offset, [[0.0, 60.0, 120.0], [3.0, 4.0, 5.0]])
        np.testing.assert_array_equal(scan.read(), [[0, 0], [2, 2], [4, 4]])
        assert scan.facts.scan_id == "hand"

    def test_several_tables_of_frames(self, tmp_path: Path) -> None:
        write_neutral_fits(tmp_path / "one.fits", example())
        with fits.open(tmp_path / "one.fits") as hdus:
            data = hdus[1].data
            parts = [fits.BinTableHDU(data[part], name="FRAMES") for part in (slice(0, 50), slice(50, None))]
            fits.HDUList([hdus[0], *parts, hdus[2]]).writeto(tmp_path / "two.fits")
        one, two = open_scan(tmp_path / "one.fits"), open_scan(tmp_path / "two.fits")
        np.testing.assert_array_equal(two.read(), one.read())
        np.testing.assert_array_equal(two.frames.offset, one.frames.offset)

    def test_ecsv_with_little_in_it(self, tmp_path: Path) -> None:
        frames = table.Table({"TIME": [0.0, 0.1], "X": [0.0, 1.0], "Y": [3.0, 4.0], "CH17": [1.5, 2.5], "CH3": [5, 6]})
        frames.write(tmp_path / "hand.ecsv", delimiter=",")
        scan = open_scan(tmp_path / "hand.ecsv")
        np.testing.assert_array_equal(scan.channels.fixed_index, [3, 17])
        np.testing.assert_array_equal(scan.read(), [[0, 0], [1, 1]])

    def test_ecsv_with_missing_signals(self, tmp_path: Path) -> None:
        frames = table.Table({"TIME": [0.0, 0.1], "X": [0.0, 1.0], "Y": [3.0, 4.0], "CH0": [1.5, 2.5]}, masked=True)
        frames["CH0"].mask[1] = True
        frames.write(tmp_path / "hand.ecsv")
        np.testing.assert_array_equal(open_scan(tmp_path / "hand.ecsv").read(), [[0], [np.nan]])

    def test_ecsv_packed(self, tmp_path: Path) -> None:
        write_neutral_ecsv(tmp_path / "scan.ecsv", example())
        (tmp_path / "scan.ecsv.gz").write_bytes(gzip.compress((tmp_path / "scan.ecsv").read_bytes()))
        np.testing.assert_array_equal(
            open_scan(tmp_path / "scan.ecsv.gz").read(), open_scan(tmp_path / "scan.ecsv").read()
        )

    def test_astropy_reads_our_ecsv(self, tmp_path: Path) -> None:
        write_neutral_ecsv(tmp_path / "scan.ecsv", example())
        found = table.Table.read(tmp_path / "scan.ecsv")
        assert len(found) == 120
        assert found["VALID"].dtype == bool
        assert found.meta["OBJECT"] == "Uranus"

    def test_hdf5_with_compressed_data(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "hand.h5", "w") as file:
            file.create_dataset("data", data=np.arange(6, dtype=">i4").reshape(3, 2), chunks=(2, 1), compression="gzip")
            for name, values in (("time", [0.0, 1.0, 2.0]), ("x", [0, 1, 2]), ("y", [3, 4, 5])):
                file.create_dataset(f"frames/{name}", data=values)
        scan = open_scan(tmp_path / "hand.h5")
        np.testing.assert_array_equal(scan.read(), [[0, 0], [2, 2], [4, 4]])


def fits_with(path: Path, change: Callable[[Hdus], None]) -> Path:
    """Write a neutral FITS file in which something is wrong."""
    write_neutral_fits(path.with_name("good.fits"), example())
    with fits.open(path.with_name("good.fits")) as hdus:
        change(hdus)
        hdus.writeto(path)
    return path


def dropping(index: int, name: str) -> Callable[[Hdus], None]:
    """Return a change that takes a column of a table away."""

    def change(hdus: Hdus) -> None:
        columns = fits.ColDefs([column for column in hdus[index].columns if column.name != name])
        hdus[index] = fits.BinTableHDU.from_columns(columns, name=hdus[index].name)

    return change


class TestDamage:
    @pytest.mark.parametrize("name", ["TIME", "X", "Y", "DATA"])
    def test_a_missing_column_of_frames_is_named(self, tmp_path: Path, name: str) -> None:
        path = fits_with(tmp_path / "bad.fits", dropping(1, name))
        with pytest.raises(FileReadError, match=rf"bad\.fits, HDU 1 \(FRAMES\): no column {name};"):
            open_scan(path)

    def test_a_missing_column_of_channels_is_named(self, tmp_path: Path) -> None:
        path = fits_with(tmp_path / "bad.fits", dropping(2, "CHANNEL"))
        with pytest.raises(
            FileReadError, match=r"HDU 2 \(CHANNELS\): no column CHANNEL; needed are CHANNEL \(found: X"
        ):
            open_scan(path)

    @pytest.mark.parametrize(
        ("column", "place", "value", "message"),
        [
            ("TIME", 4, np.nan, r"HDU 1 \(FRAMES\): the time of 1 of 120 frames is not finite"),
            ("TIME", 4, 0.0, "does not grow from frame 3"),
            ("X", slice(None), np.nan, "boresight is not finite in any frame"),
            ("VALID", slice(None), False, "none of the 120 frames"),
        ],
    )
    def test_impossible_numbers(self, tmp_path: Path, column: str, place: Any, value: Any, message: str) -> None:
        def change(hdus: Hdus) -> None:
            hdus[1].data[column][place] = value

        with pytest.raises(DataError, match=message):
            open_scan(fits_with(tmp_path / "bad.fits", change))

    def test_impossible_unit(self, tmp_path: Path) -> None:
        def change(hdus: Hdus) -> None:
            hdus[1].columns["X"].unit = "K"

        with pytest.raises(DataError, match=r"HDU 1 \(FRAMES\), column X has the unit 'K'; expected one of arcsec,"):
            open_scan(fits_with(tmp_path / "bad.fits", change))

    def test_channel_numbers_that_occur_twice(self, tmp_path: Path) -> None:
        def change(hdus: Hdus) -> None:
            hdus[2].data["CHANNEL"][:2] = 9

        with pytest.raises(DataError, match="9 occur more than once"):
            open_scan(fits_with(tmp_path / "bad.fits", change))

    def test_a_table_of_channels_that_is_too_short(self, tmp_path: Path) -> None:
        def change(hdus: Hdus) -> None:
            hdus[2].data = hdus[2].data[:5]

        with pytest.raises(DataError, match="has 5 rows; expected 12"):
            open_scan(fits_with(tmp_path / "bad.fits", change))

    @pytest.mark.parametrize(
        ("keyword", "value", "message"),
        [
            ("PIXSCAN", 99, "update pixtrace"),
            ("SRCSIGN", 0, "expected 1, or -1"),
            ("BEAMFWHM", -3.0, "expected a positive number"),
            ("SAMPINT", "fast", "expected a positive number"),
        ],
    )
    def test_impossible_keywords(self, tmp_path: Path, keyword: str, value: object, message: str) -> None:
        def change(hdus: Hdus) -> None:
            hdus[0].header[keyword] = value

        with pytest.raises(DataError, match=f"{keyword}.*{message}"):
            open_scan(fits_with(tmp_path / "bad.fits", change))

    def test_texts_instead_of_signals(self, tmp_path: Path) -> None:
        def change(hdus: Hdus) -> None:
            columns = [column for column in hdus[1].columns if column.name != "DATA"]
            columns.append(fits.Column("DATA", "4A", array=np.full(120, "none")))
            hdus[1] = fits.BinTableHDU.from_columns(columns, name="FRAMES")

        with pytest.raises(DataError, match="DATA has the format 4A; expected real numbers"):
            open_scan(fits_with(tmp_path / "bad.fits", change))

    @pytest.mark.parametrize("name", ["data", "frames"])
    def test_hdf5_without_a_group(self, tmp_path: Path, name: str) -> None:
        write_neutral_hdf5(tmp_path / "bad.h5", example())
        with h5py.File(tmp_path / "bad.h5", "a") as file:
            del file[name]
        with pytest.raises(FileReadError, match=f"has no (dataset|group) '{name}'"):
            open_scan(tmp_path / "bad.h5")

    def test_hdf5_turned_round(self, tmp_path: Path) -> None:
        write_neutral_hdf5(tmp_path / "bad.h5", example())
        with h5py.File(tmp_path / "bad.h5", "a") as file:
            data = file["data"][()]
            del file["data"]
            file["data"] = data.T
        with pytest.raises(DataError, match="turn data round"):
            open_scan(tmp_path / "bad.h5")

    def test_hdf5_without_a_column(self, tmp_path: Path) -> None:
        write_neutral_hdf5(tmp_path / "bad.h5", example())
        with h5py.File(tmp_path / "bad.h5", "a") as file:
            del file["frames/Y"]
        with pytest.raises(FileReadError, match=r"bad\.h5, frames: no column Y;"):
            open_scan(tmp_path / "bad.h5")

    @pytest.mark.parametrize("name", FORMS)
    def test_truncated(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        FORMS[name](path, example())
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2 + 7])
        with pytest.raises((FileReadError, DataError), match=rf"{name}.*complete copy"):
            open_scan(path).read()

    def test_ecsv_with_a_word_among_the_numbers(self, tmp_path: Path) -> None:
        write_neutral_ecsv(tmp_path / "bad.ecsv", example())
        text = (tmp_path / "bad.ecsv").read_text(encoding="utf-8")
        (tmp_path / "bad.ecsv").write_text(text.replace("nan", "oops"), encoding="utf-8")
        with pytest.raises(DataError, match=r"bad\.ecsv: a line cannot be read as numbers"):
            open_scan(tmp_path / "bad.ecsv").read()

    def test_ecsv_without_signals(self, tmp_path: Path) -> None:
        table.Table({"TIME": [0.0, 0.1], "X": [0.0, 1.0], "Y": [3.0, 4.0]}).write(tmp_path / "bad.ecsv")
        with pytest.raises(FileReadError, match="no column of signals"):
            open_scan(tmp_path / "bad.ecsv")

    def test_ecsv_whose_names_do_not_fit_its_header(self, tmp_path: Path) -> None:
        write_neutral_ecsv(tmp_path / "bad.ecsv", example())
        text = (tmp_path / "bad.ecsv").read_text(encoding="utf-8")
        (tmp_path / "bad.ecsv").write_text(text.replace("\nTIME X", "\nTIME U"), encoding="utf-8")
        with pytest.raises(FileReadError, match="not what the header says"):
            open_scan(tmp_path / "bad.ecsv")

    def test_a_fits_file_that_holds_no_scan(self, tmp_path: Path) -> None:
        fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
        with pytest.raises(FileReadError, match=r"holds no scan: .*TIMESTREAM .raw HAWC.*tables found: none"):
            open_scan(tmp_path / "image.fits")

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileReadError, match="does not exist"):
            open_scan(tmp_path / "nowhere.fits")


class TestSeveral:
    def test_scans_of_one_camera(self, tmp_path: Path) -> None:
        for name in ("a.fits", "b.fits"):
            write_neutral_fits(tmp_path / name, example())
        assert [scan.n_frames for scan in open_scans([tmp_path / "a.fits", tmp_path / "b.fits"])] == [120, 120]

    def test_scans_of_two_cameras(self, tmp_path: Path) -> None:
        write_neutral_fits(tmp_path / "a.fits", example())
        layout = ArrayLayout(n_rows=2, n_columns=2, row_stride=32)
        write_hawc(tmp_path / "b.fits", stream_simulated(ScanSimulator(ScanParams(array=layout, n_frames=20))))
        with pytest.raises(DataError, match=r"b\.fits is a scan of the camera HAWC_PLUS HAW_C, .*a\.fits of CAM 850"):
            open_scans([tmp_path / "a.fits", tmp_path / "b.fits"])

    def test_scans_of_other_channels_or_in_other_units(self, tmp_path: Path) -> None:
        write_neutral_fits(tmp_path / "a.fits", example())
        facts = example().facts
        other = ScanStream.from_arrays(
            np.zeros((3, 2)), [0.0, 0.1, 0.2], np.zeros((2, 3)), channels=ChannelTable.make([7, 8]), facts=facts
        )
        write_neutral_fits(tmp_path / "b.fits", other)
        with pytest.raises(DataError, match="no channel in common"):
            open_scans([tmp_path / "a.fits", tmp_path / "b.fits"])
        fits.setval(tmp_path / "a.fits", "SRCSIGN", value=1)
        write_neutral_fits(tmp_path / "c.fits", example())
        with pytest.raises(DataError, match="convert one of them"):
            open_scans([tmp_path / "a.fits", tmp_path / "c.fits"])

    def test_none_at_all(self) -> None:
        with pytest.raises(DataError, match="at least one file"):
            open_scans([])


class TestArrays:
    def test_shapes_must_agree(self) -> None:
        with pytest.raises(ShapeError):
            ScanStream.from_arrays(np.zeros((3, 2)), [0.0, 0.1], np.zeros((2, 2)))
        with pytest.raises(ShapeError):
            ScanStream.from_arrays(np.zeros((2, 2)), [0.0, 0.1], np.zeros((2, 2)), channels=ChannelTable.make([1]))

    def test_data_by_the_piece_need_channels(self) -> None:
        with pytest.raises(ParameterError, match="channels"):
            ScanStream.from_arrays(lambda _: iter(()), [0.0, 0.1], np.zeros((2, 2)))

    def test_reasons_are_known_ones(self) -> None:
        with pytest.raises(DataError, match="expected blind, dead, discarded"):
            ChannelTable.make([1], reason=["tired"])

    def test_numbers_are_whole(self) -> None:
        with pytest.raises(DataError, match="not whole"):
            ChannelTable.make([1.5])
