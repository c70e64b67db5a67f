"""Offsets of joint fits of simulated MIRI MRS dithers, against the truth in units of their errors.

``python -m tests.parity.mrs_dithers EXPOSURE`` prints the table of docs/dithers.md. EXPOSURE is the full exposure of
the reference data, whose geometry and scene are used (``cases.json`` and ``generate.py`` beside it): a star on a
background, which is flat, or has a blob that moves with the star or stays on the detector.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.io import open_exposure
from pixtrace.trace import fit_dithers

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.trace import SpectralImage

    Plane = npt.NDArray[np.float64]

ALONG = {2: (0.0, 0.08), 4: (0.0, 0.06, 0.11, 0.17)}
SLICE = 0.177210143797
"""Width of a slice of channel 1 [arcsec]."""
#: Name, offsets along and across the slices [arcsec], and background.
CASES = (
    ("two, flat background", ALONG[2], (0.0, 0.0), "flat"),
    ("two, blob on the sky", ALONG[2], (0.0, 0.0), "sky"),
    ("two, blob on the detector", ALONG[2], (0.0, 0.0), "detector"),
    ("four, flat background", ALONG[4], (0.0,) * 4, "flat"),
    ("four, blob on the sky", ALONG[4], (0.0,) * 4, "sky"),
    ("two, two slices across", ALONG[2], (0.0, 2 * SLICE), "sky"),
    ("two, half a slice across", ALONG[2], (0.0, 0.5 * SLICE), "sky"),
    ("four, up to five slices across", (0.0, 0.5, -0.4, 0.35), (0.0, 5 * SLICE, -2.5 * SLICE, 2 * SLICE), "sky"),
)


class Scenes:
    """The scene of the reference exposure, with everything that is to move moved."""

    def __init__(self, path: Path) -> None:
        spec = importlib.util.spec_from_file_location("reference_generate", path.with_name("generate.py"))
        assert spec is not None
        assert spec.loader is not None
        self._generate: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self._generate)
        self._params: dict[str, Any] = json.loads(path.with_name("cases.json").read_text(encoding="utf-8"))
        self._params = self._params["exposures"]["A"]
        with open_exposure(path) as exposure:
            self.image = replace(exposure.images[0], wavelength=exposure.wavelength(0))

    def truth(self, along: float, across: float, background: str) -> Plane:
        """Return the noise-free flux."""
        p, g, image = self._params, self._generate, self.image
        truth = np.zeros(image.shape)
        assert image.wavelength is not None
        for channel, width in p["bdel"].items():
            inside = image.region_map // 100 == int(channel)
            labels = image.region_map[inside]
            alpha, wavelength = image.alpha[inside], image.wavelength[inside]
            beta = (labels - (labels.min() + labels.max()) / 2) * width
            half = np.nanmedian(np.abs(np.diff(image.alpha, axis=0)[inside[1:] & inside[:-1]])) / 2
            box = alpha - half, alpha + half, beta - width / 2, beta + width / 2, wavelength
            light = sum(amp * g.psf_box(*box, a + along, b + across) for amp, a, b in p["sources"][channel])
            level = p["bg"][channel] * (wavelength / p["cont_lam"]) ** p["bg_slope"]
            if background != "flat":
                amp, sigma, a, b = p["blob"][channel]
                a, b = (a + along, b + across) if background == "sky" else (a, b)
                level = level + amp * np.exp(-0.5 * ((alpha - a) ** 2 + (beta - b) ** 2) / sigma**2)
            truth[inside] = light * g.spectrum(wavelength, p) + level
        return truth

    def exposure(self, truth: Plane, seed: int) -> SpectralImage:
        """Return an exposure with noise, and without bad pixels."""
        variance = self._params["gain"] * truth + self._params["read_noise"] ** 2 + (0.005 * truth) ** 2
        error = np.sqrt(variance)
        flux = truth + error * np.random.default_rng(seed).standard_normal(truth.shape)
        planes = {"flux": flux.astype(np.float32), "error": error.astype(np.float32)}
        return replace(self.image, **planes, dq=np.zeros(truth.shape, dtype=np.uint32), variances={})


def main(words: list[str]) -> None:
    """Print the table in Markdown."""
    scenes = Scenes(Path(words[0]))
    seeds = range(int(words[1]) if len(words) > 1 else 2)
    print("| exposures | channel | slices moved | largest difference from the truth [arcsec] | in errors |")  # noqa: T201
    print("|---|---|---|---|---|")  # noqa: T201
    for name, along, across, background in CASES:
        truths = [scenes.truth(a, b, background) for a, b in zip(along, across, strict=True)]
        found: dict[int, list[tuple[float, float]]] = {}
        moved: dict[int, str] = {}
        for seed in seeds:
            images = [scenes.exposure(truth, 100 * seed + e) for e, truth in enumerate(truths)]
            for channel, group in enumerate(fit_dithers(images, offsets_by="channel").groups, start=1):
                moved[channel] = ", ".join(f"{n:+d}" for n in group.slices[1:])
                for e in range(1, len(along)):
                    offset, error = group.between(0, e)
                    found.setdefault(channel, []).append((offset - along[e] + along[0], error))
        for channel, pairs in found.items():
            off, error = np.array(pairs).T
            pulls = ", ".join(f"{pull:+.1f}" for pull in off / error)
            print(f"| {name} | {channel} | {moved[channel]} | {np.abs(off).max():.5f} | {pulls} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
