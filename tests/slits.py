"""Simulated slits whose truth is known, and fits of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pixtrace.trace import TraceModel, fit_all_regions, fit_robust

Plane = npt.NDArray[np.float64]
FIT: dict[str, Any] = {"spline_bkpt": 60, "require_ngood": 8, "space_ratio": 1.6}


@dataclass(frozen=True)
class Slit:
    """A tilted slit whose profile does not change: there the model is adequate."""

    truth: Plane
    truth_os: Plane
    alpha: Plane
    alpha_os: Plane
    poisson: Plane
    read: Plane

    @property
    def error(self) -> Plane:
        return np.sqrt(self.poisson + self.read)

    @property
    def labels(self) -> npt.NDArray[np.int32]:
        return np.ones(self.truth.shape, dtype=np.int32)

    def observe(self, seed: int, bad: float = 0.02) -> Plane:
        """Add noise, and take some pixels away."""
        rng = np.random.default_rng(seed)
        data: Plane = self.truth + rng.standard_normal(self.truth.shape) * self.error
        data[rng.random(data.shape) < bad] = np.nan
        return data


def slit(*, peak: float = 200.0, background: float = 2.0, factor: int = 2, zero: float = 14.7) -> Slit:
    n_y, n_x = 30, 240
    x = np.arange(n_x)

    def alpha(rows: Plane) -> Plane:
        return np.asarray(rows[:, np.newaxis] - zero + 0.02 * x)

    def flux(a: Plane) -> Plane:
        place = a + zero - 14.7
        profile = np.exp(-0.5 * (place / 0.9) ** 2) + 0.1 * np.exp(-0.5 * (place / 2.7) ** 2)
        return np.asarray((peak * profile + background) * (1 + 0.3 * np.sin(x / 40.0)))

    native = alpha(np.arange(n_y, dtype=float))
    fine = alpha((np.arange(n_y * factor) + 0.5) / factor - 0.5)
    truth = flux(native)
    return Slit(truth, flux(fine), native, fine, 0.05 * truth, np.full_like(truth, 0.25))


def fit_reference(data: Plane, scene: Slit, **more: Any) -> TraceModel:
    variances = [scene.poisson, scene.read]
    options: dict[str, Any] = {**FIT, **more}
    return fit_all_regions(
        data, scene.error, scene.alpha, scene.labels, covariance=True, variances=variances, **options
    )


def fit_weighted(data: Plane, scene: Slit) -> TraceModel:
    return fit_robust(data, scene.error, scene.alpha, scene.labels, variances=[scene.poisson, scene.read])
