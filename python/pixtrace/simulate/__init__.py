"""Simulated exposures with a known truth, for the demo, the tests and the benchmarks.

`star_in_ifu` and `nirspec_ifu` are ready-made scenes; `simulate` makes one from its parts. `simulate_scan` makes the
scan of a camera over a star or planet (`pixtrace.simulate.scan`). Everything is seeded, and numpy is all it needs.
"""

from pixtrace.simulate.geometry import IfuGeometry
from pixtrace.simulate.psf import Psf, erf
from pixtrace.simulate.scan import ScanParams, ScanSimulator, SimulatedScan, simulate_scan
from pixtrace.simulate.scan_array import ArrayLayout, DetectorArray
from pixtrace.simulate.scan_noise import ScanNoise
from pixtrace.simulate.scan_patterns import ScanPattern
from pixtrace.simulate.scan_scene import ScanSource
from pixtrace.simulate.scene import Detector, Scene, Spectrum, Star, simulate
from pixtrace.simulate.scenes import nirspec_ifu, star_in_ifu
from pixtrace.simulate.wiggles import Wiggles, wiggles
from pixtrace.trace.wiggle import point_spectrum

__all__ = [
    "ArrayLayout",
    "Detector",
    "DetectorArray",
    "IfuGeometry",
    "Psf",
    "ScanNoise",
    "ScanParams",
    "ScanPattern",
    "ScanSimulator",
    "ScanSource",
    "Scene",
    "SimulatedScan",
    "Spectrum",
    "Star",
    "Wiggles",
    "erf",
    "nirspec_ifu",
    "point_spectrum",
    "simulate",
    "simulate_scan",
    "star_in_ifu",
    "wiggles",
]
