"""From files to the objects that pixel maps are made of."""

from pathlib import Path

import numpy as np

from pixtrace.io.scan import ChannelTable, ScanFacts, ScanStream, open_scan, stream_simulated, write_hawc
from pixtrace.scan import ChannelFlag
from pixtrace.simulate import ArrayLayout, ScanParams, ScanSimulator


def test_a_raw_file_becomes_a_scan(tmp_path: Path) -> None:
    layout = ArrayLayout(n_rows=4, n_columns=4, first_row=37, row_stride=32, centre=(15.5, 19.5), rotation=10.0)
    simulator = ScanSimulator(ScanParams(array=layout, n_frames=50, vpa=40.0))
    write_hawc(tmp_path / "scan.fits", stream_simulated(simulator))
    stream = open_scan(tmp_path / "scan.fits")
    scan = stream.to_scan({"grid": "2.0"})
    (integration,) = scan
    frames, channels = integration.frames, scan.channels
    np.testing.assert_array_equal(frames.data, stream.read())
    np.testing.assert_array_equal(frames.offset.to_value("arcsec"), stream.frames.offset)
    np.testing.assert_allclose(frames.cos_a, np.cos(np.radians(10.0)))
    np.testing.assert_allclose(frames.sin_a, np.sin(np.radians(10.0)))
    np.testing.assert_array_equal(channels.fixed_index, stream.channels.fixed_index)
    np.testing.assert_array_equal(channels.flag == ChannelFlag.BLIND, channels.row == 40)
    np.testing.assert_array_equal(
        channels.position.to_value("arcsec"), np.nan_to_num(stream.channels.position, nan=0.0)
    )
    assert integration.gain == -1.0
    assert (scan.info.instrument.name, scan.info.instrument.resolution) == ("HAWC_PLUS", 7.8)
    assert scan.info.instrument.sampling_interval == stream.facts.sampling_interval
    assert abs(scan.mjd - 57_736.278825) < 1e-4


def test_what_is_not_known_stays_so() -> None:
    offset = np.zeros((2, 3))
    offset[:, 1] = np.nan
    stream = ScanStream.from_arrays(
        np.zeros((3, 2)),
        [0.0, 0.1, 0.2],
        offset,
        channels=ChannelTable.make([5, 6], reason=["", "dead"]),
        facts=ScanFacts(instrument="x"),
    )
    scan = stream.to_scan()
    assert np.isnan(scan.mjd)
    assert np.isnan(scan.info.instrument.resolution)
    np.testing.assert_array_equal(scan[0].frames.valid, [True, False, True])
    np.testing.assert_array_equal(scan.channels.flag, [0, ChannelFlag.DEAD])
