"""Small simulated scans for tests of beam maps, and how far results are from the truth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pixtrace.io.scan import stream_simulated
from pixtrace.scan import BeamMap, Scan
from pixtrace.simulate import ArrayLayout, DetectorArray, ScanNoise, ScanParams, ScanPattern, ScanSimulator, ScanSource

QUIET = ScanParams(
    pattern=ScanPattern(kind="lissajous", width=90.0, height=90.0, period=2.1),
    array=ArrayLayout(n_rows=4, n_columns=4, pitch=8.0, displacement=1.5, dead_fraction=0.125),
    noise=ScanNoise(white=12.0),
    rate=100.0,
    n_frames=6000,
    seed=5,
)


def simulated(params: ScanParams = QUIET, options: Mapping[str, Any] | None = None) -> tuple[Scan, DetectorArray]:
    """Return a scan and the truth about its pixels."""
    simulator = ScanSimulator(params)
    return stream_simulated(simulator).to_scan(options), simulator.array


def with_source(params: ScanParams = QUIET, **changes: Any) -> ScanParams:
    """Return parameters with another source."""
    return replace(params, source=replace(params.source, **changes))


def errors(found: BeamMap, array: DetectorArray) -> tuple[np.ndarray, np.ndarray]:
    """Return position errors, shape (2, n_good), less their median, and couplings over the truth over their median."""
    good = array.is_good
    np.testing.assert_array_equal(found.table.fixed_index, array.channel)
    position = np.stack([found.table.x, found.table.y])[:, good] - array.position[:, good]
    coupling = found.table.coupling[good] / array.gain[good]
    return position - np.median(position, axis=1, keepdims=True), coupling / np.median(coupling)


@dataclass(frozen=True, kw_only=True)
class Lobes(ScanSource):
    """A Gaussian with a ring of three per cent about it, and a pedestal of one per cent."""

    @property
    def reach(self) -> float:
        return 6.0 * self.fwhm

    def profile(self, radius: Any) -> Any:
        r = np.asarray(radius, dtype=np.float64) / self.fwhm

        def shape(r: Any) -> Any:
            core, wide = (np.exp(-4.0 * math.log(2.0) * (r / width) ** 2) for width in (1.0, 3.0))
            return core + 0.03 * np.exp(-0.5 * ((r - 1.6) / 0.25) ** 2) + 0.01 * wide

        return shape(r) / shape(0.0)

    def signal(self, x: Any, y: Any) -> Any:
        radius = np.sqrt(np.arange(8001.0)) * self.reach / math.sqrt(8000.0)
        square = np.minimum((x * x + y * y) * np.float32(8000.0 / self.reach**2), np.float32(8000.0))
        return np.interp(square, np.arange(8001.0), self.amplitude * self.profile(radius)).astype(np.float32)


__all__ = ["QUIET", "Lobes", "ScanSource", "errors", "simulated", "with_source"]
