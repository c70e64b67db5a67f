"""The checkpoint: a reduction comes back to the bit, and a damaged file says so."""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from pixtrace.exceptions import (
    DataError,
    DtypeError,
    FileReadError,
    OutputError,
    OutputExistsError,
    ParameterError,
    ShapeError,
)
from pixtrace.io.fits_stream import DataSum
from pixtrace.io.pixelmap_cube import write_checkpoint
from pixtrace.io.pixelmap_cube_read import is_checkpoint, read_checkpoint
from pixtrace.scan.sample_moments import SampleMoments
from pixtrace.scan.state import CONTENTS, MAP_RECORDS, PixelMapState
from pixtrace.scan.tables import ExtraColumn, PixelTable

SHAPE = (3, 7, 5)
ARRAYS = ("pixel_ids", "data", "weight", "exposure", "flag", "base", *MAP_RECORDS)
MOMENTS = ("sums", "factors", "missed_at", "missed")


def opened(path: Path, **options: Any) -> Any:
    """Open a file with astropy, whose objects have no types."""
    return fits.open(path, **options)


def moments(shape: tuple[int, int, int] = SHAPE, n_layers: int = 2, n_missed: int = 4) -> SampleMoments:
    """Return moments of maps, drawn at random."""
    rng = np.random.default_rng(6)
    n_pixels, n_y, n_x = shape
    return SampleMoments(
        sums=rng.standard_normal((n_layers, 6, n_y, n_x)),
        factors=rng.uniform(0.0, 1.0, (n_layers, n_pixels)),
        missed_at=np.stack([rng.integers(0, n, n_missed) for n in (n_pixels, n_y * n_x)], axis=1),
        missed=rng.standard_normal((n_missed, 6)),
    )


def state(shape: tuple[int, int, int] = SHAPE, **changes: Any) -> PixelMapState:
    """Return a state in which nothing has its default."""
    rng = np.random.default_rng(5)
    n = shape[0]
    data = rng.standard_normal(shape)
    data.ravel()[:4] = [np.nan, -0.0, np.inf, 5e-324][: data.size]
    table = PixelTable(
        fixed_index=np.arange(n + 2),
        x=rng.standard_normal(n + 2),
        y=np.full(n + 2, np.nan),
        coupling=rng.standard_normal(n + 2),
        flag=np.arange(n + 2),
        unit="ct",
        flag_meanings={1: "no source", 2: "µ"},
        meta={"object": "Mars"},
        extra={"nefd": ExtraColumn(values=rng.standard_normal(n + 2), unit="furlong", description="sensitivity")},
    )
    values: dict[str, Any] = {
        "pixel_ids": np.arange(n) * 11 + 2**40,
        "resolution": (5.0, 1 / 3),
        "reference_index": (0.1, 3.5),
        "data": data,
        "weight": rng.uniform(-1, 2, shape),
        "exposure": rng.uniform(0, 2, shape),
        "flag": rng.integers(0, 4, shape).astype(np.uint8),
        "base": np.where(rng.random(shape) < 0.5, np.nan, rng.standard_normal(shape)),
        "moments": moments(shape),
        "content": tuple(CONTENTS[i % 3] for i in range(n)),
        **{name: rng.standard_normal(n) for name in MAP_RECORDS},
        "n_skipped": 17,
        "unit": "ct",
        "generation": 3,
        "integration_time": 1 / 7,
        "configuration": {"grid": 5.0, "smooth": None, "blank": [1, 2.5, "a"], "sub": {"µ": True}},
        "history": ("levelled", "5 µm"),
        "table": table,
        "extra": {"source_points": 12.5, "inf": float("inf")},
        "arrays": {
            "gain": rng.standard_normal(6),
            "hits": rng.integers(0, 9, (2, 3, 4)),
            "one": np.float32(2.5).reshape(()),
        },
    }
    return PixelMapState(**(values | changes))


def assert_same_bits(found: npt.NDArray[Any], expected: npt.NDArray[Any], name: str) -> None:
    """Check that two arrays hold the same bits in the same shape and type."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype), name
    assert found.tobytes() == np.ascontiguousarray(expected).tobytes(), name


def assert_same(found: PixelMapState, expected: PixelMapState) -> None:
    """Check that two states agree to the bit."""
    for name in ARRAYS:
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if other is not None:
            assert_same_bits(one, other, name)
    assert (found.moments is None) == (expected.moments is None)
    for name in MOMENTS if expected.moments is not None else ():
        assert_same_bits(getattr(found.moments, name), getattr(expected.moments, name), name)
    for name in ("resolution", "reference_index", "content", "n_skipped", "unit", "generation", "integration_time"):
        assert getattr(found, name) == getattr(expected, name), name
    assert found.history == expected.history
    assert dict(found.configuration) == dict(expected.configuration)
    assert dict(found.extra) == dict(expected.extra)
    assert list(found.arrays) == list(expected.arrays)
    for name, array in expected.arrays.items():
        assert_same_bits(found.arrays[name], array, name)


def test_what_is_written_is_read_to_the_bit(tmp_path: Path) -> None:
    written = state()
    write_checkpoint(tmp_path / "a.fits", written)
    found = read_checkpoint(tmp_path / "a.fits")
    assert_same(found, written)
    one, other = found.table, written.table
    assert one is not None
    assert other is not None
    for name in ("fixed_index", "x", "y", "coupling", "row", "flag"):
        assert_same_bits(getattr(one, name), getattr(other, name), name)
    assert (one.unit, one.flag_meanings, one.meta) == (other.unit, other.flag_meanings, other.meta)
    assert_same_bits(one.extra["nefd"].values, other.extra["nefd"].values, "nefd")
    assert (one.extra["nefd"].unit, one.extra["nefd"].description) == ("furlong", "sensitivity")
    write_checkpoint(tmp_path / "b.fits", found)
    assert (tmp_path / "b.fits").stat().st_size == (tmp_path / "a.fits").stat().st_size
    assert_same(read_checkpoint(tmp_path / "b.fits"), written)


def test_the_least_that_a_state_can_be(tmp_path: Path) -> None:
    nothing: dict[str, Any] = dict.fromkeys(("base", "moments", "table", *MAP_RECORDS))
    written = state((1, 1, 1), **nothing, arrays={}, extra={}, configuration={}, history=(), content=())
    write_checkpoint(tmp_path / "a.fits", written)
    found = read_checkpoint(tmp_path / "a.fits")
    assert_same(found, written)
    assert found.content == ("given",)
    assert found.table is None


def test_a_base_without_a_number_is_not_written(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.fits", state(base=np.full(SHAPE, np.nan)))
    assert read_checkpoint(tmp_path / "a.fits").base is None


def test_arrays_stay_as_they_are_and_may_lie_in_any_way(tmp_path: Path) -> None:
    wide = np.random.default_rng(1).standard_normal((*SHAPE, 2))
    before = wide.copy()
    written = state(data=wide[..., 1], arrays={"gain": wide[:, ::2, 0, 0].astype(">f4")})
    write_checkpoint(tmp_path / "a.fits", written)
    np.testing.assert_array_equal(wide, before)
    found = read_checkpoint(tmp_path / "a.fits")
    np.testing.assert_array_equal(found.data, before[..., 1])
    np.testing.assert_array_equal(found.arrays["gain"], written.arrays["gain"])


class Planes:
    """Room for maps, as `MapStack` makes it."""

    def __init__(self, n_pixels: int, shape: tuple[int, int], **grid: Any) -> None:
        self.grid = grid
        self.has_base = True
        self.data, self.weight, self.exposure, self.base = (np.full((n_pixels, *shape), 9.0) for _ in range(4))
        self.flag = np.full((n_pixels, *shape), 9, np.uint8)
        self.sample_moments = moments((n_pixels, *shape))
        self.marks: list[tuple[str, list[int]]] = []
        self.noise_rescale = np.ones(n_pixels)

    def mark_content(self, content: str, *, pixels: list[int]) -> None:
        """Take down what was marked."""
        self.marks.append((content, pixels))


def test_reading_into_a_stack(tmp_path: Path) -> None:
    written = state()
    write_checkpoint(tmp_path / "a.fits", written)
    found = read_checkpoint(tmp_path / "a.fits", allocate=Planes)
    planes: Any = found.planes
    assert isinstance(planes, Planes)
    assert found.data is planes.data
    assert planes.grid["resolution"] == written.resolution
    assert planes.grid["reference_index"] == written.reference_index
    np.testing.assert_array_equal(planes.grid["pixel_ids"], written.pixel_ids)
    assert_same(found, written)
    found.restore(planes)
    assert planes.marks == [("given", [0]), ("sums", [1]), ("means", [2])]
    assert planes.sample_moments is found.moments
    np.testing.assert_array_equal(planes.noise_rescale, written.noise_rescale)


def test_restoring_from_other_arrays() -> None:
    written = state(base=None, moments=None)
    stack = Planes(SHAPE[0], SHAPE[1:])
    written.restore(stack)
    assert_same_bits(stack.data, written.data, "data")
    assert_same_bits(stack.flag, written.flag, "flag")
    assert np.isnan(stack.base).all()
    assert len(stack.sample_moments.sums) == 0
    with pytest.raises(ShapeError, match=r"`stack.data` has shape \(2, 7, 5\)"):
        written.restore(Planes(2, SHAPE[1:]))


def test_others_can_read_the_file(tmp_path: Path) -> None:
    written = state(content=("means",) * 3)
    write_checkpoint(tmp_path / "a.fits", written)
    assert is_checkpoint(tmp_path / "a.fits")
    with opened(tmp_path / "a.fits", checksum=True) as hdus:  # a wrong sum is a warning, and so an error
        hdus.verify("exception")
        names = [
            "DATA",
            "WEIGHT",
            "EXPOSURE",
            "FLAG",
            "SNR",
            "BASE",
            "MOMENTS",
            "FACTORS",
            "MISSED",
            "MAPS",
            "PIXELS",
            "STATE",
        ]
        assert [hdu.name for hdu in hdus[1:]] == names + ["ARRAY"] * 3
        assert hdus[0].header["NEXTEND"] == len(hdus) - 1
        assert [hdus[name].header.get("BUNIT") for name in names[:6]] == ["ct", "ct-2", "s", None, None, "ct"]
        assert list(hdus[0].header["HISTORY"]) == ["levelled", "5 ?m"]
        valid = (written.flag & 1 == 0) & (written.weight > 0)
        with np.errstate(invalid="ignore"):
            expected = np.where(valid, written.data * np.sqrt(written.weight), np.nan)
        np.testing.assert_allclose(hdus["SNR"].data, expected, rtol=1e-6, atol=1e-30)
        assert hdus["PIXELS"].columns["x"].unit == "arcsec"
        wcs = WCS(hdus["DATA"].header)
        assert wcs.naxis == 3
        lon, lat, row = wcs.wcs_pix2world([[2.1, 6.5, 1]], 0)[0]
        np.testing.assert_allclose((lon * 3600, lat * 3600, row), (10.0, 1.0, 1), rtol=1e-8)


def test_the_unit_of_sums_is_not_that_of_means(tmp_path: Path) -> None:
    for content, unit in ((("sums",) * 3, "ct-1"), (("sums", "means", "means"), None)):
        write_checkpoint(tmp_path / "a.fits", state(content=content), overwrite=True)
        with opened(tmp_path / "a.fits") as hdus:
            assert hdus["DATA"].header.get("BUNIT") == unit
            expected = state().data[0] / np.sqrt(np.where(state().weight[0] > 0, state().weight[0], np.nan))
            expected[state().flag[0] & 1 != 0] = np.nan
            np.testing.assert_allclose(hdus["SNR"].data[0], expected, rtol=1e-6, atol=1e-30)


@given(st.lists(st.binary(max_size=13), max_size=8))
def test_the_sum_does_not_depend_on_how_the_bytes_come(pieces: list[bytes]) -> None:
    one, other = DataSum(), DataSum()
    for piece in pieces:
        one.add(piece)
    whole = b"".join(pieces)
    other.add(whole)
    hdu: Any = fits.ImageHDU(np.frombuffer(whole, np.uint8)) if whole else None
    assert one.value == other.value
    if hdu is not None:
        hdu.add_datasum()
        assert int(hdu.header["DATASUM"]) == one.value


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.fits", state())
    content = (tmp_path / "a.fits").read_bytes()
    for end in range(0, len(content), 1440):
        (tmp_path / "b.fits").write_bytes(content[:end])
        with pytest.raises(FileReadError, match=r"b\.fits"):
            read_checkpoint(tmp_path / "b.fits")


def test_a_bit_that_has_flipped_is_noticed(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.fits", state())
    content = bytearray((tmp_path / "a.fits").read_bytes())
    with opened(tmp_path / "a.fits") as hdus:
        places = {(hdu.name, hdu.ver): hdu.fileinfo()["datLoc"] for hdu in hdus[1:]}
    for (name, _), place in places.items():
        content[place + 2] ^= 4
        (tmp_path / "b.fits").write_bytes(content)
        content[place + 2] ^= 4
        if name != "SNR":
            with pytest.raises(FileReadError, match=f"extension {name}.* is damaged: its DATASUM"):
                read_checkpoint(tmp_path / "b.fits")


def edited(directory: Path, change: str) -> Path:
    """Write a file and change something in it."""
    path = directory / "a.fits"
    write_checkpoint(path, state())
    with opened(path, mode="update") as hdus:
        if change == "foreign":
            del hdus[0].header["PIXKIND"]
        elif change == "kind":
            hdus[0].header["PIXKIND"] = "shopping list"
        elif change == "version":
            hdus[0].header["PIXFORM"] = 3
        elif change == "fewer":
            del hdus["ARRAY", 3]
        elif change == "other name":
            hdus["WEIGHT"].header["EXTNAME"] = "WAIT"
        elif change == "shape":
            hdus["FLAG"].data = np.zeros((3, 7, 4), np.uint8)
        elif change == "type":
            hdus["DATA"].data = hdus["DATA"].data.astype(">f4")
        elif change == "no table":
            hdus["MAPS"].header["EXTNAME"], hdus["SNR"].header["EXTNAME"] = "SNR", "MAPS"
    if change == "no sum":  # astropy would put it back
        content = path.read_bytes()
        start = content.index(b"'EXPOSURE'")
        path.write_bytes(content[:start] + content[start:].replace(b"DATASUM =", b"DATASAM =", 1))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("foreign", r"is not a checkpoint of pixel maps \(no PIXKIND\)"),
        ("kind", r"is not a checkpoint of pixel maps \(PIXKIND = 'shopping list'\)"),
        ("version", r"is a checkpoint of version 3, .* reads version 2"),
        ("fewer", "has 14 of 15 extensions: it ends too early"),
        ("other name", "has no extension WEIGHT"),
        ("shape", r"extension FLAG .* has shape \(3, 7, 4\); expected \(3, 7, 5\)"),
        ("type", "extension DATA .* holds float32; expected float64"),
        ("no sum", "extension EXPOSURE .* is damaged"),
        ("no table", "extension MAPS .* is not a table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(FileReadError, match=message):
        read_checkpoint(edited(tmp_path, change))


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match="does not exist"):
        read_checkpoint(tmp_path / "a.fits")
    (tmp_path / "a.fits").write_text("not FITS")
    with pytest.raises(FileReadError, match="is not a FITS file"):
        read_checkpoint(tmp_path / "a.fits")
    assert not is_checkpoint(tmp_path / "a.fits")
    assert not is_checkpoint(tmp_path / "b.fits")
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "b.fits")
    with pytest.raises(FileReadError, match="is not a checkpoint"):
        read_checkpoint(tmp_path / "b.fits")
    assert not is_checkpoint(tmp_path / "b.fits")


def test_files_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path / "a.fits", state())
    before = (tmp_path / "a.fits").read_bytes()
    with pytest.raises(OutputExistsError):
        write_checkpoint(tmp_path / "a.fits", state())
    with pytest.raises(OutputError, match="make it first"):
        write_checkpoint(tmp_path / "none" / "a.fits", state())
    with pytest.raises(ParameterError, match=r"leave out \.gz"):
        write_checkpoint(tmp_path / "a.fits.gz", state())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_checkpoint(tmp_path / "a.fits", state(), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.fits"]
    assert (tmp_path / "a.fits").read_bytes() == before


def test_a_disk_that_fills_up_while_the_maps_are_written(tmp_path: Path) -> None:
    program = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
from tests.unit.test_io_checkpoint import state
from pixtrace.exceptions import OutputError
from pixtrace.io.pixelmap_cube import write_checkpoint
try:
    write_checkpoint(sys.argv[1], state((20, 30, 30)))
except OutputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.fits")], check=True, capture_output=True, text=True
    )
    assert "larger than is allowed here" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"configuration": {"a": object()}}, DataError, "the state cannot be written: found <object"),
        ({"extra": {"a": {1, 2}}}, DataError, "of type set"),
        ({"arrays": {"a": np.array(["b"])}}, DataError, r"arrays\['a'\] has dtype <U1"),
        ({"arrays": {"a": np.empty((0, 3))}}, DataError, r"arrays\['a'\] has dtype float64 and shape \(0, 3\)"),
    ],
)
def test_what_cannot_be_kept(tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        write_checkpoint(tmp_path / "a.fits", state(**changes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"data": np.zeros((3, 7))}, ShapeError, r"`data` has shape \(3, 7\)"),
        ({"weight": np.zeros((3, 7, 4))}, ShapeError, "`weight`"),
        ({"flag": np.zeros(SHAPE, np.int64)}, DtypeError, "`flag` has dtype int64; expected uint8"),
        ({"data": np.zeros(SHAPE, ">f8")}, DtypeError, "`data` has dtype >f8"),
        ({"moments": moments((3, 7, 4))}, ShapeError, "`moments`"),
        ({"pixel_ids": np.arange(2)}, ShapeError, "`pixel_ids`"),
        ({"noise_rescale": np.zeros(2)}, ShapeError, "`noise_rescale`"),
        ({"content": ("sums", "means")}, ParameterError, "for 3 maps"),
        ({"content": ("sums", "means", "modes")}, ParameterError, "expected one of given, sums, means"),
    ],
)
def test_states_that_make_no_sense(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        replace(state(), **changes)


def test_memory_does_not_grow_with_the_maps(tmp_path: Path) -> None:
    # Writing and reading 150 MB of maps takes room for the maps that are read, and some blocks of megabytes.
    program = """
import sys, tracemalloc
import numpy as np
from pixtrace.io.pixelmap_cube import write_checkpoint
from pixtrace.io.pixelmap_cube_read import read_checkpoint
from pixtrace.scan.state import PixelMapState
shape = (600, 100, 100)
planes = {name: np.ones(shape) for name in ("data", "weight", "exposure")}
state = PixelMapState(pixel_ids=np.arange(600), resolution=(1.0, 1.0), reference_index=(0.0, 0.0),
                      flag=np.zeros(shape, np.uint8), **planes)
import astropy.io.fits, astropy.wcs
tracemalloc.start()
write_checkpoint(sys.argv[1], state)
print(tracemalloc.get_traced_memory()[1])
tracemalloc.reset_peak()
before = tracemalloc.get_traced_memory()[0]
read_checkpoint(sys.argv[1])
print(tracemalloc.get_traced_memory()[1] - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.fits")], check=True, capture_output=True, text=True
    )
    written, read = (int(number) / 1e6 for number in done.stdout.split())
    assert written < 40
    assert read < 150 + 40
