"""An elliptical Gaussian on a level, fitted to the cells of a map by scipy: the slow twin of the fit in Rust."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import curve_fit

FOUR_LN2 = 4.0 * np.log(2.0)
NAMES = ("x", "y", "amplitude", "fwhm_major", "fwhm_minor", "angle", "level")
NO_DATA, TOO_FEW_CELLS, NOT_CONVERGED, NOT_SIGNIFICANT, WRONG_SIGN = 1, 2, 4, 16, 32

FloatArray = npt.NDArray[np.float64]


def gaussian(
    xy: Any, x: float, y: float, amplitude: float, major: float, minor: float, angle: float, level: float
) -> FloatArray:
    """Return the model at places (2, n); the angle is in degrees, from x towards y."""
    turned = np.deg2rad(angle)
    dx, dy = xy[0] - x, xy[1] - y
    along, across = dx * np.cos(turned) + dy * np.sin(turned), dy * np.cos(turned) - dx * np.sin(turned)
    model: FloatArray = level + amplitude * np.exp(-FOUR_LN2 * ((along / major) ** 2 + (across / minor) ** 2))
    return model


def fit_map(
    xy: FloatArray, data: FloatArray, weight: FloatArray, fwhm: float, sign: str, significance: float
) -> dict[str, Any]:
    """Fit one map: places (2, n), means and weights (n,) of its valid cells."""
    failed = {"values": np.full(7, np.nan), "covariance": np.full((7, 7), np.nan), "chi2": np.nan, "dof": 0}
    if data.size == 0:
        return {**failed, "flags": NO_DATA}
    if data.size <= len(NAMES):
        return {**failed, "flags": TOO_FEW_CELLS}
    level = float(np.median(data))
    snr = (data - level) * np.sqrt(weight)
    peak = int(np.argmax({"+": snr, "-": -snr, "0": np.abs(snr)}[sign]))
    start = [xy[0, peak], xy[1, peak], data[peak] - level, 1.05 * fwhm, 0.95 * fwhm, 0.0, level]
    try:
        values, covariance = curve_fit(gaussian, xy, data, p0=start, sigma=weight**-0.5, absolute_sigma=True)
    except RuntimeError:
        return {**failed, "flags": NOT_CONVERGED}
    values[3:5] = np.abs(values[3:5])
    if values[3] < values[4]:
        values[[3, 4]] = values[[4, 3]]
        covariance[[3, 4]] = covariance[[4, 3]]
        covariance[:, [3, 4]] = covariance[:, [4, 3]]
        values[5] += 90.0
    values[5] = -((-values[5] + 90.0) % 180.0 - 90.0)
    flags = 0
    if abs(values[2]) < significance * np.sqrt(covariance[2, 2]):
        flags |= NOT_SIGNIFICANT
    if (sign == "+" and values[2] < 0) or (sign == "-" and values[2] > 0):
        flags |= WRONG_SIGN
    chi2 = float((weight * (data - gaussian(xy, *values)) ** 2).sum())
    return {
        "values": values,
        "covariance": covariance,
        "chi2": chi2,
        "dof": data.size - len(NAMES),
        "flags": flags,
    }


def fit_stack(stack: Any, rows: list[int], *, beam_fwhm: float | None, sign: str, significance: float) -> Any:
    """Fit maps of a stack; what comes back has the attributes that the fit in Rust gives."""
    n_y, n_x = stack.shape
    y, x = np.mgrid[0:n_y, 0:n_x].astype(float)
    x = (x - stack.reference_index[0]) * stack.resolution[0]
    y = (y - stack.reference_index[1]) * stack.resolution[1]
    fwhm = 5.0 * stack.resolution[0] if beam_fwhm is None else beam_fwhm
    fits, cells = [], []
    for row in rows:
        valid = stack.valid[row]
        means, weight = stack.data[row][valid], stack.weight[row][valid]
        if stack.content[row] == "sums":
            means = means / weight
        fits.append(fit_map(np.stack([x[valid], y[valid]]), means, weight, fwhm, sign, significance))
        cells.append(int(valid.sum()))
    values = np.array([fit["values"] for fit in fits]).reshape(-1, 7)
    return SimpleNamespace(
        position=values[:, 0:2],
        amplitude=values[:, 2],
        fwhm=values[:, 3:5],
        angle=values[:, 5],
        level=values[:, 6],
        covariance=np.array([fit["covariance"] for fit in fits]).reshape(-1, 7, 7),
        chi2=np.array([fit["chi2"] for fit in fits]),
        n_cells=np.array(cells, dtype=np.int64),
        degrees_of_freedom=np.array([fit["dof"] for fit in fits], dtype=np.int64),
        flags=np.array([fit["flags"] for fit in fits], dtype=np.int64),
    )
