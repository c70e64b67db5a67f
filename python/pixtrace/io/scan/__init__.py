"""Scans of many cameras, opened as streams that are read by the piece.

`open_scan` opens a file of any kind: raw HAWC+ (`pixtrace.io.scan.hawc`), the neutral form as FITS, HDF5 or ECSV
(`pixtrace.io.scan.neutral`), or a table of single samples (`pixtrace.io.scan.samples`); `open_scans` opens several and
sees that they are of one camera. `ScanStream.to_scan` makes a `pixtrace.scan.Scan` of one.
"""

from pixtrace.io.scan.dispatch import open_scan, open_scans
from pixtrace.io.scan.hawc_write import write_hawc
from pixtrace.io.scan.neutral_ecsv import write_neutral_ecsv
from pixtrace.io.scan.neutral_fits import write_neutral_fits
from pixtrace.io.scan.neutral_hdf5 import write_neutral_hdf5
from pixtrace.io.scan.raw import DataChunk, ScanStream
from pixtrace.io.scan.simulated import stream_simulated
from pixtrace.io.scan.tables import ChannelTable, FrameTable, ScanFacts

__all__ = [
    "ChannelTable",
    "DataChunk",
    "FrameTable",
    "ScanFacts",
    "ScanStream",
    "open_scan",
    "open_scans",
    "stream_simulated",
    "write_hawc",
    "write_neutral_ecsv",
    "write_neutral_fits",
    "write_neutral_hdf5",
]
