"""How much four dithers wiggle, fitted one by one and together, and how much they must.

``python -m tests.parity.dither_wiggles`` prints the table of docs/dithers.md: the scatter of the spectrum at the star
of `pixtrace demo oversample`, relative to the truth. The floor is what is left to a fit that knows the profile: only
the scale of each column is fitted, to the pixels that are neither dead nor hit by a cosmic ray.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.simulate import star_in_ifu, wiggles
from pixtrace.trace import TraceParams, fit_dithers, oversample_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pixtrace.simulate.scene import Scene

    Plane = npt.NDArray[np.floating]

QUARTERS = (0.0, 0.25, 0.5, 0.75)
PITCH = 0.196
"""Rows of `star_in_ifu` [arcsec]."""
ROWS, SIGNAL_TO_NOISE = (28.0, 8.0, 2.0), (300.0, 3000.0)
CLIP_SIGMA, CLIP_ROUNDS = 5.0, 5


@dataclass(frozen=True)
class Dithers:
    """Scatter of spectra relative to the truth, by what they were made with.

    Attributes
    ----------
    one : dict of str to float
        That of the spectrum of one exposure: the mean of them.
    mean : dict of str to float
        That of the mean of the spectra.
    """

    one: dict[str, float]
    mean: dict[str, float]


def scenes_of(rows: float, snr: float, n_columns: int = 1024) -> list[Scene]:
    """Return four exposures of the star, each a quarter of a pixel from the one before."""
    return [
        star_in_ifu(n_columns=n_columns, n_slices=1, snr=snr, seed=seed, tilt=rows, dither=(quarter * PITCH, 0.0))
        for seed, quarter in enumerate(QUARTERS)
    ]


def with_the_true_profile(scene: Scene, factor: float) -> Plane:
    """Return the image oversampled by a fit that knows the profile: the truth, with a scale for each column."""
    image = scene.image
    assert image.error is not None
    is_good = np.isfinite(image.flux) & (image.error > 0) & ~scene.cosmic_rays
    weight = np.where(is_good, image.error.astype(float) ** -2, 0.0)
    flux, truth = (np.where(is_good, plane, 0.0).astype(float) for plane in (image.flux, scene.truth))
    scale = (weight * flux * truth).sum(axis=0) / (weight * truth**2).sum(axis=0)
    return np.asarray(scale * scene.truth_os(factor))


def compare(scenes: Sequence[Scene], factors: Sequence[float], *, reference: bool = False) -> dict[float, Dithers]:
    """Oversample exposures one by one and together.

    Parameters
    ----------
    scenes : sequence of Scene
        The exposures.
    factors : sequence of float
        Oversampling factors.
    reference : bool, optional
        Whether the default, which is jwst's, is to be compared too.

    Returns
    -------
    dict of float to Dithers
        By factor; keys of those are "reference", "alone", "joint", "floor", and "interpolation", which is the truth
        itself on the finer grid.
    """
    params = TraceParams.robust()
    fit = fit_dithers([scene.image for scene in scenes])
    found: dict[float, Dithers] = {}
    for factor in factors:
        spectra: dict[str, list[npt.NDArray[np.float64]]] = {}
        for scene, fitted in zip(scenes, fit.fitted, strict=True):
            planes: dict[str, Plane] = {
                "alone": oversample_image(scene.image, factor, params).flux,
                "joint": oversample_image(scene.image, factor, params, fitted=fitted).flux,
                "floor": with_the_true_profile(scene, factor),
                "interpolation": scene.truth_os(factor),
            }
            if reference:
                planes["reference"] = oversample_image(scene.image, factor, TraceParams.preset(scene.preset)).flux
            for name, plane in planes.items():
                spectra.setdefault(name, []).append(wiggles(scene, scene.stars[0], plane, factor).after)
        found[factor] = Dithers(
            {name: float(np.mean([scatter(one) for one in each])) for name, each in spectra.items()},
            {name: scatter(np.mean(each, axis=0)) for name, each in spectra.items()},
        )
    return found


def scatter(spectrum: npt.NDArray[np.float64]) -> float:
    """Return the standard deviation without outliers."""
    kept = spectrum[np.isfinite(spectrum)]
    for _ in range(CLIP_ROUNDS):
        kept = kept[np.abs(kept - np.median(kept)) <= CLIP_SIGMA * kept.std()]
    return float(kept.std())


def main() -> None:
    """Print the table in Markdown."""
    names = ("reference", "alone", "joint", "floor", "interpolation")
    print("| rows | signal to noise | spectrum | reference | robust, one by one | robust, joint |", end="")  # noqa: T201
    print(" floor | interpolation | times smaller | joint over floor |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|---|---|")  # noqa: T201
    for rows in ROWS:
        for snr in SIGNAL_TO_NOISE:
            found = compare(scenes_of(rows, snr), (10.0, 3.0), reference=True)
            lines = {"one, by 10": found[10.0].one, "mean, by 10": found[10.0].mean, "mean, by 3": found[3.0].mean}
            for what, values in lines.items():
                cells = " | ".join(f"{100 * values[name]:.3f}" for name in names)
                times = values["alone"] / values["joint"], values["reference"] / values["joint"]
                above = values["joint"] / values["floor"]
                end = f"{times[0]:.1f} ({times[1]:.1f} than the reference) | {above:.2f} |"
                print(f"| {rows:g} | {snr:g} | {what} | {cells} | {end}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
