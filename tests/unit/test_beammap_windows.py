"""Beam maps of scans that do not fit into memory: read by the piece, cleaned window by window."""

import errno
import tracemalloc
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixtrace.cli import main
from pixtrace.exceptions import ConfigError, DataError, OutputError, ParameterError
from pixtrace.io.beammap import BeamMapJob
from pixtrace.io.scan import stream_simulated, write_neutral_fits
from pixtrace.io.scratch import Scratch, usual_memory
from pixtrace.scan import BeamMap, Reduction, Scan
from pixtrace.scan import pieces as memory_of
from pixtrace.scan.beam_map import make_beam_map
from pixtrace.scan.findings import Findings
from pixtrace.scan.flags import ChannelFlag
from pixtrace.scan.frames import Frames
from pixtrace.scan.pieces import cut_frames
from pixtrace.scan.rounds import run_rounds
from pixtrace.scan.signals import Chunk, Window, fill_windows
from pixtrace.simulate import ScanNoise, ScanSimulator
from tests.beammaps import QUIET, errors, with_source

LONG = replace(
    QUIET,
    array=replace(QUIET.array, n_rows=8, n_columns=8, pitch=6.0),
    noise=ScanNoise(white=12.0, knee=1.0, sky=10.0),
    n_frames=8000,
)
N_CHANNELS = 64
N_LIVE = 56
BYTES = 11  # for each sample of a window


@pytest.fixture(autouse=True)
def no_room_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the option ``memory`` be about signals and maps alone, which are small here."""
    monkeypatch.setattr(memory_of, "ROOM", 0)
    monkeypatch.setattr("pixtrace.io.beammap.ROOM", 0)


def scan_of(params: Any = LONG, options: dict[str, Any] | None = None, *, in_memory: bool = False) -> Scan:
    """Return a scan whose signals are read by the piece."""
    return stream_simulated(ScanSimulator(params)).to_scan(options, in_memory=in_memory)


def memory_for(scan: Scan, n_frames: int) -> float:
    """Return the option ``memory`` with which windows have at most so many frames [GB]."""
    model = Reduction(scans=[scan]).init_source_model()
    maps = memory_of.maps_memory(N_LIVE, int(np.prod(model.shape)), 1)
    return (maps + memory_of.frames_memory(scan[0]) + n_frames * N_LIVE * BYTES) / 1e9


def reduced(n_frames: int, **options: Any) -> tuple[BeamMap, int]:
    """Reduce in windows of at most so many frames; return how many there were, too."""
    given = {"rounds": 2, **options}
    reduction = Reduction(scans=[scan_of(LONG, {**given, "memory": memory_for(scan_of(), n_frames)})])
    state, parts = run_rounds(reduction)
    assert reduction.source is not None
    return make_beam_map(reduction.source, parts, state), len(parts[0].cut.windows)


@cache
def whole() -> tuple[BeamMap, int]:
    """Reduce in one window."""
    return reduced(8000)


@given(
    n_frames=st.integers(1, 60),
    n_chunk=st.integers(1, 25),
    inner=st.lists(st.integers(1, 59), max_size=5, unique=True),
    reach=st.integers(0, 12),
    has_flags=st.booleans(),
)
def test_windows_hold_what_lies_in_them(
    n_frames: int, n_chunk: int, inner: list[int], reach: int, *, has_flags: bool
) -> None:
    data = np.arange(n_frames * 3, dtype=np.float32).reshape(n_frames, 3)
    flags = (np.arange(n_frames * 3) % 7).astype(np.uint8).reshape(n_frames, 3) if has_flags else None
    edges = [0, *sorted(edge for edge in inner if edge < n_frames), n_frames]
    windows = [Window(max(0, a - reach), min(n_frames, b + reach), a, b) for a, b in pairwise(edges)]
    room = np.empty((max(window.size for window in windows), 2), dtype=np.float32)
    marks = np.full(room.shape, 99, dtype=np.uint8)
    starts = range(0, n_frames, n_chunk)
    chunks = (Chunk(k, data[k : k + n_chunk], None if flags is None else flags[k : k + n_chunk]) for k in starts)
    columns = np.array([2, 0])
    seen = []
    for window in fill_windows(chunks, windows, columns, room, marks):
        rows = slice(window.start, window.stop)
        np.testing.assert_array_equal(room[: window.size], data[rows][:, columns])
        np.testing.assert_array_equal(marks[: window.size], 0 if flags is None else flags[rows][:, columns])
        seen.append(window)
    assert seen == windows


@pytest.mark.parametrize("most", [1500, 2500])
def test_windows_are_cut_at_corners_and_use_every_frame_once(most: int) -> None:
    scan = scan_of()
    cut = cut_frames(scan[0], N_CHANNELS, 12.0, most * N_CHANNELS * BYTES)
    assert len(cut.windows) > 1
    assert cut.corners is not None
    corner, spacing = cut.corners
    assert [window.first for window in cut.windows[1:]] == [window.last for window in cut.windows[:-1]]
    assert (cut.windows[0].first, cut.windows[-1].last) == (0, scan[0].size)
    for window in cut.windows:
        assert window.size <= most
        assert 0 <= window.start <= window.first < window.last <= window.stop <= scan[0].size
        if window.start:
            assert window.first - window.start >= 2.5 * spacing
    for window in cut.windows[1:]:
        away = (window.first - corner) / spacing
        assert abs(away - round(away)) * spacing < 1.0


def test_what_fits_is_one_window() -> None:
    scan = scan_of()
    assert cut_frames(scan[0], N_CHANNELS, 12.0, 8000 * N_CHANNELS * BYTES).is_whole
    assert not cut_frames(scan[0], N_CHANNELS, 12.0, 7999 * N_CHANNELS * BYTES).is_whole


def test_too_little_memory_is_refused_with_what_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"option memory leaves .* GB for the signals of 56 channels .* GB more"):
        reduced(300)


def test_signals_that_are_read_in_each_round_give_the_very_same() -> None:
    once = Reduction(scans=[scan_of(LONG, {"rounds": 2}, in_memory=True)]).reduce().table
    again = whole()[0].table
    for name in ("x", "y", "x_error", "coupling", "fwhm_major", "chi2", "flag"):
        np.testing.assert_array_equal(getattr(again, name), getattr(once, name))


def test_windows_change_next_to_nothing() -> None:
    expected, one = whole()
    found, n_windows = reduced(2200)
    assert (one, n_windows > 3) == (1, True)
    good = expected.is_good
    np.testing.assert_array_equal(found.is_good, good)
    np.testing.assert_array_equal(found.table.extra["channel_flag"].values, expected.table.extra["channel_flag"].values)
    for name, error in (("x", "x_error"), ("y", "y_error"), ("amplitude", "amplitude_error")):
        step = (getattr(found.table, name) - getattr(expected.table, name))[good] / getattr(expected.table, error)[good]
        assert np.sqrt(np.mean(step**2)) < 0.1
        np.testing.assert_allclose(getattr(found.table, error)[good], getattr(expected.table, error)[good], rtol=0.08)
    np.testing.assert_allclose(found.table.extra["noise"].values, expected.table.extra["noise"].values, rtol=0.1)
    position, _ = errors(found, ScanSimulator(LONG).array)
    assert np.abs(position).max() < 5.0 * found.table.x_error[good].max()


def test_windows_without_fits_of_samples_need_no_room_on_a_disk() -> None:
    options = {"rounds.timestream": False}
    expected, _ = reduced(8000, **options)
    found, n_windows = reduced(2200, **options)
    assert n_windows > 3
    step = (found.table.x - expected.table.x)[expected.is_good] / expected.table.x_error[expected.is_good]
    assert np.sqrt(np.mean(step**2)) < 0.1


def test_several_scans_are_each_cut() -> None:
    other = replace(with_source(LONG, position=(2.0, 1.0)), seed=LONG.seed, n_frames=7000)
    scans = [scan_of(LONG), scan_of(other)]
    model = Reduction(scans=scans).init_source_model()
    maps = memory_of.maps_memory(N_LIVE, int(np.prod(model.shape)), 2)
    there = sum(memory_of.frames_memory(scan[0]) for scan in scans)
    options = {"rounds": 2}
    tight = {**options, "memory": (maps + there + 2200 * N_LIVE * BYTES) / 1e9}
    found = Reduction(scans=[scan_of(LONG, tight), scan_of(other, tight)]).reduce()
    expected = Reduction(scans=[scan_of(LONG, options), scan_of(other, options)]).reduce()
    step = (found.table.x - expected.table.x)[expected.is_good] / expected.table.x_error[expected.is_good]
    assert np.sqrt(np.mean(step**2)) < 0.1
    np.testing.assert_allclose(found.pointing, expected.pointing, atol=0.01)


def test_memory_stays_within_what_is_allowed() -> None:
    long = replace(LONG, n_frames=30000, noise=ScanNoise(white=12.0))
    # Kept as it would be in a file: the simulation takes memory of its own.
    simulated = stream_simulated(ScanSimulator(long))
    data = simulated.read()
    stream = type(simulated)(simulated.facts, simulated.channels, simulated.frames, lambda most: pieces_of(data, most))

    def peak(n_frames: int) -> tuple[int, float]:
        allowed = memory_for(stream.to_scan(in_memory=False), n_frames)
        scan = stream.to_scan({"rounds": 1, "memory": allowed}, in_memory=False)
        tracemalloc.start()
        try:
            found = Reduction(scans=[scan]).reduce()
            assert found.n_good == N_LIVE
            return tracemalloc.get_traced_memory()[1], 1e9 * allowed
        finally:
            tracemalloc.stop()

    windows, allowed = peak(4000)
    assert windows < allowed
    whole, _ = peak(30000)
    assert whole - windows > 0.5 * data.nbytes


def pieces_of(data: np.ndarray, most: int) -> Any:
    """Yield copies, as a file does."""
    from pixtrace.io.scan import DataChunk

    for start in range(0, len(data), min(most, 1000)):
        yield DataChunk(start, data[start : start + min(most, 1000)].copy())


def test_signals_that_are_not_in_memory_say_so() -> None:
    scan = scan_of()
    assert not scan[0].frames.is_in_memory
    assert scan[0].frames.shape == (8000, N_CHANNELS)
    with pytest.raises(DataError, match=r"not in memory.*in_memory=True"):
        Reduction(scans=[scan]).make_maps()
    with pytest.raises(DataError, match="not in memory"):
        _ = scan[0].frames.sample_flag
    stream = stream_simulated(ScanSimulator(LONG))
    signals = stream.to_scan(in_memory=False)[0].frames
    with pytest.raises(ParameterError, match="bring their own flags"):
        Frames(signals, np.zeros((2, 8000)), sample_flag=np.zeros((8000, N_CHANNELS), dtype=np.uint8))


def test_a_channel_is_bad_if_it_is_so_most_of_the_time() -> None:
    class Channels:
        def __init__(self, flag: list[int], variance: list[float]) -> None:
            self.flag, self.variance = np.array(flag), np.array(variance)

    found = Findings(np.array([0, 0, 0, 0]))
    spiky, blind = int(ChannelFlag.SPIKY), int(ChannelFlag.BLIND)
    windows: list[Any] = [
        Channels([0, spiky, spiky, blind], [1.0, 9.0, 9.0, 4.0]),
        Channels([0, 0, blind, 0], [1.0, 2.0, 9.0, 2.0]),
        Channels([0, 0, 0, blind], [4.0, 4.0, 3.0, 4.0]),
    ]
    for window in windows:
        found.add(window, 1.0 / 3.0)
    np.testing.assert_array_equal(found.flag, [0, 0, spiky | blind, blind])
    np.testing.assert_allclose(found.variance, [2.0, 3.0, 3.0, 2.0])


def test_scratch_gives_back_what_it_was_given(tmp_path: Path) -> None:
    with Scratch(tmp_path) as scratch:
        first, second = np.arange(12, dtype=np.float32).reshape(3, 4), np.full((2, 2), np.nan, dtype=np.float32)
        scratch.write(16, second)
        scratch.write(32, first[:, ::-1])
        room = np.zeros((3, 4), dtype=np.float32)
        scratch.read_into(32, room)
        np.testing.assert_array_equal(room, first[:, ::-1])
        scratch.read_into(16, room[0])
        assert np.isnan(room[0]).all()
        assert list(tmp_path.iterdir()) == []  # it has no name
        with pytest.raises(OutputError, match="ends 16 bytes too early"):
            scratch.read_into(64, room[:2])
        with pytest.raises(DataError, match="contiguous"):
            scratch.read_into(0, room[:, ::2])


def test_scratch_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot keep cleaned signals in .*nowhere"):
        Scratch(tmp_path / "nowhere")


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def seek(self, at: int) -> None:
            del at

        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr("pixtrace.io.scratch.tempfile.TemporaryFile", lambda **_: Full())
    with pytest.raises(OutputError, match="do not fit into memory: the disk is full"):
        reduced(2200)


def test_usual_memory_is_half_of_the_machine_or_of_its_group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usual = usual_memory()
    assert usual > 1 << 20
    (tmp_path / "max").write_text("max\n", encoding="ascii")
    (tmp_path / "limit").write_text("1000000\n", encoding="ascii")
    monkeypatch.setattr("pixtrace.io.scratch._LIMITS", (str(tmp_path / "max"), str(tmp_path / "limit")))
    assert usual_memory() == 500_000


def test_a_job_reads_large_files_in_each_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scan.fits"
    write_neutral_fits(path, stream_simulated(ScanSimulator(LONG)))
    options = {"rounds": 2}
    kept = BeamMapJob([path], options, tmp_path).run()
    monkeypatch.setattr("pixtrace.io.beammap._KEPT", 1000)
    tight = {**options, "memory": memory_for(scan_of(), 2200)}
    job = BeamMapJob([path], tight, tmp_path)
    plan = job.plan()
    assert plan.windows > 3
    assert plan.scratch > 8000 * N_LIVE * 4
    found = job.run()
    step = (found.table.x - kept.table.x)[kept.is_good] / kept.table.x_error[kept.is_good]
    assert np.sqrt(np.mean(step**2)) < 0.1
    assert BeamMapJob([path], options, tmp_path).plan().windows == 1


def test_the_command_says_how_many_windows_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "scan.fits"
    write_neutral_fits(path, stream_simulated(ScanSimulator(LONG)))
    words = ["beammap", str(path), "-o", str(tmp_path / "out"), "--dry-run"]
    assert main(words) == 0
    assert "windows" not in capsys.readouterr().out
    # A plan does not know which channels are dead, and takes signals of a small file to stay in memory.
    memory = memory_for(scan_of(), 3000) + 4e-9 * 8000 * N_CHANNELS
    assert main([*words, "--memory", f"{memory:.6f}"]) == 0
    assert "so that signals fit into memory" in capsys.readouterr().out
    assert main([*words, "--memory", "0.001"]) == 2
    assert "GB more" in capsys.readouterr().err
