"""Simulated exposures with a known truth, for the demo, the tests and the benchmarks.

`star_in_ifu` and `nirspec_ifu` are ready-made scenes; `simulate` makes one from its parts. Everything is seeded, and
numpy is all it needs.
"""

from pixtrace.simulate.geometry import IfuGeometry
from pixtrace.simulate.psf import Psf, erf
from pixtrace.simulate.scene import Detector, Scene, Spectrum, Star, simulate
from pixtrace.simulate.scenes import nirspec_ifu, star_in_ifu
from pixtrace.simulate.wiggles import Wiggles, point_spectrum, wiggles

__all__ = [
    "Detector",
    "IfuGeometry",
    "Psf",
    "Scene",
    "Spectrum",
    "Star",
    "Wiggles",
    "erf",
    "nirspec_ifu",
    "point_spectrum",
    "simulate",
    "star_in_ifu",
    "wiggles",
]
