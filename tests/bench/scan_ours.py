"""What is measured of ours: a stack of maps, and all timestreams of a scan."""

from typing import Any

import numpy as np

from pixtrace.scan import MapStack
from tests.bench.scan_inputs import DT, EXCLUDED, FWHM, SHAPE, Scan


class Ours:
    """The same operations on a stack of maps.

    Parameters
    ----------
    scan : Scan
        Timestreams.
    """

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.stack = MapStack(scan.n_pixels, SHAPE, **scan.grid)
        self.channels = np.arange(scan.n_pixels)
        self.indices = scan.map_indices
        self.single = scan.frame_data.astype(np.float32), scan.sample_flags.astype(np.uint8)

    def add(self, threads: int, *, single: bool = False, stack: MapStack | None = None, positions: bool = False) -> int:
        """Add all timestreams."""
        scan = self.scan
        data, flags = self.single if single else (scan.frame_data, scan.sample_flags)
        return (self.stack if stack is None else stack).add_points(
            data,
            scan.frame_gains,
            scan.frame_weights,
            scan.source_gains,
            scan.variance,
            scan.valid_frames,
            self.indices,
            self.channels,
            flags,
            EXCLUDED,
            DT,
            map_positions=scan.position if positions else None,
            n_threads=threads,
        )

    def settle(self) -> None:
        """Let the maps take in what waits."""
        self.stack.count_points()

    def sync(self, threads: int, data: Any, flags: Any) -> None:
        """Subtract the maps."""
        scan = self.scan
        zeros = np.zeros(scan.n_pixels)
        given = (scan.valid_frames, scan.frame_gains, self.channels, self.indices, scan.source_gains, zeros)
        self.stack.sync(data, *given, flags, 2 * EXCLUDED, n_threads=threads)

    def fit(self, threads: int, n_fits: int) -> Any:
        """Fit elliptical Gaussians with all covariances to some maps."""
        return self.stack.fit_gaussians(pixels=range(n_fits), beam_fwhm=FWHM, n_threads=threads)
