"""Fits against the truth, through the whole package: errors as small as the data allow, and as large as reported.

With 2000 pixels, the standard deviation of a pull is known to 0.016 and its mean to 0.022.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.scan import FitFlag, GaussianFits, MapStack
from pixtrace.scan.gaussian_fits import PARAMETERS

N_PIXELS = 2000
FOUR_LN2 = 4.0 * np.log(2.0)
CELL = 2.5
SHAPE = (29, 31)
GRID: dict[str, Any] = {"resolution": CELL, "reference_index": (15.0, 14.0)}
NAMES: list[str] = [name for name in PARAMETERS if name != "angle"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Beams:
    """True parameters of the beams of all pixels, each of shape (N_PIXELS,), by the names of `GaussianFits.error`."""

    x: FloatArray
    y: FloatArray
    amplitude: FloatArray
    fwhm_major: FloatArray
    fwhm_minor: FloatArray
    angle: FloatArray
    level: FloatArray

    @classmethod
    def draw(cls, rng: np.random.Generator, ratio: float) -> "Beams":
        """Draw beams about 12 arcsec wide near the middle of the map."""
        n = N_PIXELS
        minor = rng.uniform(10.0, 12.0, n)
        return cls(
            x=rng.uniform(-9.0, 9.0, n),
            y=rng.uniform(-9.0, 9.0, n),
            amplitude=rng.uniform(0.8, 1.2, n),
            fwhm_major=ratio * minor,
            fwhm_minor=minor,
            angle=rng.uniform(-90.0, 90.0, n) if ratio > 1 else np.zeros(n),
            level=rng.normal(0.0, 0.1, n),
        )

    def signals(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the signals at some places, shape (n_places, N_PIXELS)."""
        turned = np.deg2rad(self.angle)
        dx, dy = x[:, np.newaxis] - self.x, y[:, np.newaxis] - self.y
        along = (dx * np.cos(turned) + dy * np.sin(turned)) / self.fwhm_major
        across = (dy * np.cos(turned) - dx * np.sin(turned)) / self.fwhm_minor
        signals: FloatArray = self.level + self.amplitude * np.exp(-FOUR_LN2 * (along**2 + across**2))
        return signals

    def slopes(self, k: int, x: FloatArray, y: FloatArray, names: list[str]) -> FloatArray:
        """Return the derivatives of the signal of a pixel, shape (n_places, n_parameters)."""
        one = {name: values[[k]] for name, values in vars(self).items()}
        columns = []
        for name in names:
            step = 1e-5
            high, low = (Beams(**one | {name: one[name] + sign * step}) for sign in (1, -1))
            columns.append((high.signals(x, y) - low.signals(x, y))[:, 0] / (2.0 * step))
        return np.stack(columns, axis=1)

    def bounds(self, x: FloatArray, y: FloatArray, noise: FloatArray | float, names: list[str]) -> FloatArray:
        """Return the Cramer-Rao bounds of x and y for some of the pixels, shape (n, 2)."""
        bounds = []
        for k in range(0, N_PIXELS, 10):
            slopes = self.slopes(k, x, y, names) / np.reshape(noise, (-1, 1))
            bounds.append(np.sqrt(np.diag(np.linalg.inv(slopes.T @ slopes))[:2]))
        return np.array(bounds)


def off_truth(fits: GaussianFits, beams: Beams) -> dict[str, FloatArray]:
    """Return measured less true values, by parameter."""
    measured = dict(
        zip(PARAMETERS, (*fits.position.T, fits.amplitude, *fits.fwhm.T, fits.angle, fits.level), strict=True)
    )
    off = {name: measured[name] - getattr(beams, name) for name in PARAMETERS}
    off["angle"] = (off["angle"] + 90.0) % 180.0 - 90.0
    return off


def assert_as_good_as_can_be(fits: GaussianFits, beams: Beams, names: list[str], bounds: FloatArray) -> None:
    """Assert that errors of positions reach their bounds, and that all errors are as they are said to be."""
    assert np.isin(fits.flags, (0, FitFlag.ROUND)).all(), f"in doubt: {np.unique(fits.flags, return_counts=True)}"
    off = off_truth(fits, beams)
    for axis, name in enumerate("xy"):
        ratio = float(np.sqrt(np.mean(off[name] ** 2) / np.mean(bounds[:, axis] ** 2)))
        assert 0.9 < ratio < 1.1, f"errors of {name} are {ratio:.3f} times the bound"
    for name in names:
        pulls = off[name] / fits.error(name)
        spread, mean = float(np.std(pulls)), float(np.mean(pulls))
        assert 0.95 < spread < 1.05, f"errors of {name} are {spread:.3f} times what is reported"
        # All pixels share one scan, and with it what is left of the scatter of its samples in their cells.
        assert abs(mean) < 0.15, f"{name} is off by {mean:.3f} of its errors"
    chi2 = float(fits.chi2.sum() / fits.degrees_of_freedom.sum())
    assert 0.97 < chi2 < 1.03


CASES: dict[str, tuple[float, list[str], dict[str, Any]]] = {
    "elliptical": (1.3, [*PARAMETERS], {}),
    "round": (1.0, [name for name in NAMES if name != "fwhm_minor"], {"shape": "round"}),
}


@pytest.mark.parametrize("kind", CASES)
def test_maps(kind: str) -> None:
    ratio, names, options = CASES[kind]
    rng = np.random.default_rng(41)
    beams = Beams.draw(rng, ratio)
    iy, ix = np.indices(SHAPE).reshape(2, -1)
    x, y = CELL * (ix - GRID["reference_index"][0]), CELL * (iy - GRID["reference_index"][1])
    # Uneven, with holes; the same in all maps, so that one bound is good for many.
    hits = rng.integers(0, 12, x.size).astype(np.float64)
    noise = 0.05 / np.sqrt(np.maximum(hits, 0.1))
    data = beams.signals(x, y) + noise[:, np.newaxis] * rng.standard_normal((x.size, N_PIXELS))
    data[hits == 0] = 1e6
    weight = np.where(hits > 0, noise**-2, 0.0)
    full = (N_PIXELS, *SHAPE)
    planes = [np.ascontiguousarray(plane.T).reshape(full) for plane in (data, np.repeat(weight[:, None], N_PIXELS, 1))]
    stack = MapStack.from_arrays(planes[0], planes[1], planes[1], np.zeros(full, np.uint8), **GRID)
    fits = stack.fit_gaussians(beam_fwhm=11.0, **options)
    seen = hits > 0
    bounds = shape_bounds(beams, x[seen], y[seen], noise[seen], kind)
    assert_as_good_as_can_be(fits, beams, names, bounds)


def shape_bounds(beams: Beams, x: FloatArray, y: FloatArray, noise: FloatArray | float, kind: str) -> FloatArray:
    """Return the bounds of the positions with the parameters that a kind of fit has."""
    # Positions and the width of a round beam are orthogonal; which width is free does not matter to them.
    names: list[str] = [*PARAMETERS] if kind == "elliptical" else NAMES
    return beams.bounds(x, y, noise, names)


@dataclass(frozen=True)
class Scanned:
    """Timestreams of all pixels at S/N 100 per sample, binned."""

    beams: Beams
    stack: MapStack
    x: FloatArray
    y: FloatArray
    noise: FloatArray | float


def scan(
    kind: str,
    *,
    n_frames: int,
    with_positions: bool = True,
    flagged: float = 0.0,
    cell: float = CELL,
    noise: FloatArray | float = 0.01,
    seed: int | None = None,
) -> Scanned:
    """Let the telescope wander over the source, and bin what the pixels see."""
    rng = np.random.default_rng(47)
    half = round(CELL * GRID["reference_index"][1] / cell)
    shape, reference = (2 * half + 1, 2 * half + 3), np.array([half + 1.0, half])
    dtype = np.float32
    beams = Beams.draw(rng, CASES[kind][0])
    rng = rng if seed is None else np.random.default_rng(seed)
    reach = reference[:, np.newaxis] + 0.4
    position = rng.uniform(-reach, reach, (2, n_frames))
    x, y = cell * position
    signal = beams.signals(x, y).astype(dtype)
    signal += noise * rng.standard_normal(signal.shape, dtype=np.float32)
    at = position + reference[:, np.newaxis]
    frame_gains, source_gains = rng.uniform(0.9, 1.1, n_frames), rng.uniform(0.9, 1.1, N_PIXELS)
    stack = MapStack(N_PIXELS, shape, resolution=cell, reference_index=(half + 1.0, half))
    ones = np.ones(n_frames)
    stack.add_points(
        signal * (frame_gains[:, np.newaxis] * source_gains).astype(dtype),
        frame_gains,
        # The noise goes along with the gain in this simulation, so that every sample is worth the same.
        frame_gains**-2,
        source_gains,
        noise**2 * source_gains**2,
        ones > 0,
        np.floor(at + 0.5).astype(np.int64)[:, :, np.newaxis],
        np.arange(N_PIXELS),
        (rng.random(signal.shape, dtype=np.float32) < flagged).astype(np.uint8),
        1,
        0.01,
        map_positions=at if with_positions else None,
    )
    stack.end_accumulation()
    return Scanned(beams, stack, x, y, noise)


@pytest.mark.parametrize("kind", CASES)
def test_maps_binned_from_timestreams(kind: str) -> None:
    found = scan(kind, n_frames=6000, with_positions=True)
    fits = found.stack.fit_gaussians(beam_fwhm=11.0, **CASES[kind][2])
    bounds = shape_bounds(found.beams, found.x, found.y, found.noise, kind)
    assert_as_good_as_can_be(fits, found.beams, CASES[kind][1], bounds)


@pytest.mark.parametrize(
    ("kind", "cell", "flagged"),
    [("elliptical", 1.0, 0.002), ("round", 2.0, 0.002), ("elliptical", 3.0, 0.002), ("elliptical", 3.0, 0.1)],
)
def test_flagged_samples_do_no_harm(kind: str, cell: float, flagged: float) -> None:
    # In a cell that misses a sample, the others have another mean position than those of all other pixels.
    found = scan(kind, n_frames=6000, with_positions=True, flagged=flagged, cell=cell)
    assert len(found.stack.sample_moments.missed) > 0.9 * flagged * 6000 * N_PIXELS * (1.0 - flagged * 6)
    fits = found.stack.fit_gaussians(beam_fwhm=11.0, **CASES[kind][2])
    bounds = shape_bounds(found.beams, found.x, found.y, found.noise / np.sqrt(1.0 - flagged), kind)
    assert_as_good_as_can_be(fits, found.beams, CASES[kind][1], bounds)


def test_scans_may_differ_in_their_noise() -> None:
    # A pixel that was noisy in one of two scans has the mean positions of the other one, more or less; and one in ten
    # is in the first scan only.
    rng = np.random.default_rng(48)
    found = [
        scan("elliptical", n_frames=3000, noise=0.01 * rng.uniform(0.5, 2.0, N_PIXELS), seed=seed) for seed in (1, 2)
    ]
    whole, beams = found[0].stack, found[0].beams
    first, both = np.flatnonzero(np.arange(N_PIXELS) % 10 == 0), np.flatnonzero(np.arange(N_PIXELS) % 10)
    whole.merge_accumulate(found[1].stack.select(both), pixels=both)
    assert len(whole.sample_moments.sums) == 2
    fits = whole.fit_gaussians(beam_fwhm=11.0)
    off = off_truth(fits, beams)
    for name in PARAMETERS:
        spread = float(np.std(off[name] / fits.error(name)))
        assert 0.95 < spread < 1.05, f"errors of {name} are {spread:.3f} times what is reported"
    assert fits.error("x")[first].mean() > 1.1 * fits.error("x")[both].mean()


def test_without_positions_binning_shows() -> None:
    # What the moments are for: at S/N 100 per sample, to take samples for those of the middle of their cells costs.
    bare = scan("elliptical", n_frames=2000, with_positions=False)
    full = scan("elliptical", n_frames=2000, with_positions=True)
    np.testing.assert_array_equal(bare.stack.data, full.stack.data)
    spread = [
        float(np.std(off_truth(found.stack.fit_gaussians(beam_fwhm=11.0), found.beams)["x"])) for found in (bare, full)
    ]
    assert spread[0] > 3.0 * spread[1]
