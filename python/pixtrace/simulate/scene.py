"""A simulated exposure with everything that is known about it: sky, noise-free signal, and what was done to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pixtrace.exceptions import ParameterError
from pixtrace.simulate.psf import fraction_between
from pixtrace.trace.image import DO_NOT_USE, SpectralImage
from pixtrace.trace.oversample import fine_rows, nearest_rows

if TYPE_CHECKING:
    from pixtrace.simulate.geometry import IfuGeometry
    from pixtrace.simulate.psf import Psf

__all__ = ["Detector", "Scene", "Spectrum", "Star", "simulate"]

_BRIGHT_PERCENTILE = 99.9


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """A power law with Gaussian lines on it.

    Attributes
    ----------
    level : float
        Continuum at `wavelength` [flux unit].
    wavelength : float
        Where the level holds [um].
    slope : float
        Exponent of the power law.
    lines : tuple of (float, float, float)
        Centre [um], height relative to `level`, and standard deviation [um] of each line; a negative height absorbs.
    """

    level: float
    wavelength: float = 1.0
    slope: float = 0.0
    lines: tuple[tuple[float, float, float], ...] = ()

    def __call__(self, wavelength: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the flux at each wavelength [um]; same shape."""
        at = np.asarray(wavelength, dtype=np.float64)
        relative = (at / self.wavelength) ** self.slope
        for centre, height, sigma in self.lines:
            relative = relative + height * np.exp(-0.5 * ((at - centre) / sigma) ** 2)
        return self.level * relative


@dataclass(frozen=True, kw_only=True)
class Star:
    """A point source.

    Attributes
    ----------
    alpha, beta : float
        Where it stands in the field, along and across the slices [arcsec]; (0, 0) is the middle.
    spectrum : Spectrum
        Its total flux per column.
    """

    alpha: float
    beta: float
    spectrum: Spectrum


@dataclass(frozen=True, kw_only=True)
class Detector:
    """What the detector does to the light.

    Attributes
    ----------
    read_noise : float
        Standard deviation of the noise of a dark pixel [flux unit].
    photons : float
        Photons per unit of flux: the variance of the flux f is read_noise^2 + f / photons.
    bad_fraction : float
        Part of the pixels that are dead: NaN, flagged `DO_NOT_USE`.
    cosmic_ray_fraction : float
        Part of the pixels that are hit by a cosmic ray. They look like good ones: positive outliers without a flag.
    """

    read_noise: float
    photons: float
    bad_fraction: float = 0.01
    cosmic_ray_fraction: float = 0.0002

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, ok in (
            ("read_noise", self.read_noise > 0.0),
            ("photons", self.photons > 0.0),
            ("bad_fraction", 0.0 <= self.bad_fraction < 1.0),
            ("cosmic_ray_fraction", 0.0 <= self.cosmic_ray_fraction < 1.0),
        ):
            if not (ok and math.isfinite(getattr(self, name))):
                allowed = "at least 0 and below 1" if name.endswith("fraction") else "a positive number"
                msg = f"`{name}` = {getattr(self, name)}; it must be {allowed}"
                raise ParameterError(msg)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A simulated exposure and the truth behind it.

    Attributes
    ----------
    image : SpectralImage
        What an observer gets: flux, error, dq, alpha, region_map, wavelength.
    geometry : IfuGeometry
        Where the slices fall.
    stars : tuple of Star
        The point sources.
    background : Spectrum
        Diffuse light: flux per pixel in the middle of the field. It falls off linearly along and across the slices.
    psf : Psf
        How a star looks.
    wavelength : ndarray of float64, shape (n_x,)
        Wavelength of each column [um].
    cosmic_rays : ndarray of bool, shape (n_y, n_x)
        Pixels hit by a cosmic ray, which `image` does not tell.
    preset : str
        The name of the parameters that suit it, see `pixtrace.trace.params.PRESETS`.
    """

    image: SpectralImage
    geometry: IfuGeometry
    stars: tuple[Star, ...]
    background: Spectrum
    psf: Psf
    wavelength: npt.NDArray[np.float64]
    cosmic_rays: npt.NDArray[np.bool_]
    preset: str = "generic"

    @cached_property
    def truth(self) -> npt.NDArray[np.float32]:
        """The noise-free signal of each pixel.

        Returns
        -------
        ndarray of float32, shape (n_y, n_x)
            NaN between slices.
        """
        return self.truth_os(1.0)

    def truth_os(self, factor: float) -> npt.NDArray[np.float32]:
        """Return what a perfect oversampling would give.

        Parameters
        ----------
        factor : float
            Oversampling factor, at least 1.

        Returns
        -------
        ndarray of float32, shape (ceil(n_y * factor), n_x)
            At each oversampled position the noise-free signal of a pixel of *native* size centred there:
            oversampling does not sharpen; NaN between slices.
        """
        return _on_grid(self, factor, "flux").astype(np.float32)

    def alpha_os(self, factor: float) -> npt.NDArray[np.float64]:
        """Return the exact alpha at the centres of the oversampled pixels [arcsec].

        Parameters
        ----------
        factor : float
            Oversampling factor, at least 1.

        Returns
        -------
        ndarray of float64, shape (ceil(n_y * factor), n_x)
            NaN between slices.
        """
        return _on_grid(self, factor, "alpha")

    def region_map_os(self, factor: float) -> npt.NDArray[np.int32]:
        """Return the slice number of each oversampled pixel: that of the nearest native one.

        Parameters
        ----------
        factor : float
            Oversampling factor, at least 1.

        Returns
        -------
        ndarray of int32, shape (ceil(n_y * factor), n_x)
            0 between slices.
        """
        rows = nearest_rows(self.geometry.shape[0], factor)
        region_map: npt.NDArray[np.int32] = self.geometry.region_map[rows]
        return region_map

    def spectrum_at(self, region: int, alpha: float) -> npt.NDArray[np.float64]:
        """Return the noise-free signal of native-size pixels centred on a line along a slice.

        Parameters
        ----------
        region : int
            Number of the slice.
        alpha : float
            Along-slice coordinate [arcsec].

        Returns
        -------
        ndarray of float64, shape (n_x,)
            One value per column.
        """
        index = region - self.geometry.first_label
        columns = np.arange(self.geometry.shape[1])
        slices = np.full_like(columns, index)
        rows = self.geometry.rows_of(index, alpha)
        pixels = _Pixels((columns, columns), rows, columns, slices)
        return _signal(self.geometry, pixels, self.wavelength, self.stars, self.background, self.psf)

    def region_of(self, star: Star) -> int:
        """Return the label of the slice whose middle is closest to a star.

        Parameters
        ----------
        star : Star
            The star.

        Returns
        -------
        int
            The label.
        """
        return int(self.geometry.labels[np.argmin(np.abs(self.geometry.beta - star.beta))])


def simulate(
    geometry: IfuGeometry,
    *,
    stars: tuple[Star, ...],
    background: Spectrum,
    psf: Psf,
    detector: Detector,
    wavelength: tuple[float, float],
    seed: int = 0,
    name: str = "simulated",
    preset: str = "generic",
) -> Scene:
    """Simulate one exposure of an integral-field spectrograph.

    Parameters
    ----------
    geometry : IfuGeometry
        Where the slices fall on the detector.
    stars : tuple of Star
        Point sources.
    background : Spectrum
        Diffuse light, flux per pixel.
    psf : Psf
        The point spread function.
    detector : Detector
        Noise, bad pixels, cosmic rays.
    wavelength : tuple of float
        Wavelength of the first and of the last column [um].
    seed : int, optional
        The same seed gives the same exposure, bit for bit with the same numpy.
    name, preset : str, optional
        Passed on to the image and the scene.

    Returns
    -------
    Scene
        Planes: flux and error float32 (NaN between slices and in bad pixels), dq uint32, alpha and wavelength float64.
    """
    columns = np.linspace(*wavelength, geometry.shape[1])
    region_map = geometry.region_map
    pixels = _Pixels.of(geometry, 1.0)
    signal = _signal(geometry, pixels, columns, stars, background, psf)
    alpha = np.full(geometry.shape, np.nan)
    alpha[pixels.at] = geometry.alpha_at(pixels.row, pixels.column, pixels.slice)
    flux, error, cosmic_rays, bad = _expose(signal, detector, np.random.default_rng(seed))

    planes = {key: np.full(geometry.shape, np.nan, dtype=np.float32) for key in ("flux", "error")}
    planes["flux"][pixels.at] = flux
    planes["error"][pixels.at] = error
    hits = np.zeros(geometry.shape, dtype=np.bool_)
    hits[pixels.at] = cosmic_rays
    dq = np.zeros(geometry.shape, dtype=np.uint32)
    dq[pixels.at] = np.where(bad, DO_NOT_USE, 0)
    image = SpectralImage(
        flux=planes["flux"],
        error=planes["error"],
        dq=dq,
        alpha=alpha,
        region_map=region_map,
        wavelength=np.where(region_map > 0, columns, np.nan),
        name=name,
    )
    return Scene(
        image=image,
        geometry=geometry,
        stars=stars,
        background=background,
        psf=psf,
        wavelength=columns,
        cosmic_rays=hits,
        preset=preset,
    )


@dataclass(frozen=True)
class _Pixels:
    """The pixels of a (finer) grid that lie in a slice, one entry each."""

    at: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
    row: npt.NDArray[np.float64]
    column: npt.NDArray[np.intp]
    slice: npt.NDArray[np.intp]

    @classmethod
    def of(cls, geometry: IfuGeometry, factor: float) -> _Pixels:
        region_map = geometry.region_map
        rows = np.arange(len(region_map), dtype=np.float64)
        if factor != 1.0:
            rows = fine_rows(len(region_map), factor)
            region_map = region_map[nearest_rows(len(region_map), factor)]
        at = np.nonzero(region_map)
        return cls((at[0], at[1]), rows[at[0]], at[1], (region_map[at] - geometry.first_label).astype(np.intp))


def _on_grid(scene: Scene, factor: float, what: str) -> npt.NDArray[np.float64]:
    """Return the alpha or the noise-free flux on the grid of a factor."""
    pixels = _Pixels.of(scene.geometry, factor)
    n_y, n_x = scene.geometry.shape
    plane = np.full((n_y if factor == 1.0 else len(fine_rows(n_y, factor)), n_x), np.nan)
    plane[pixels.at] = (
        scene.geometry.alpha_at(pixels.row, pixels.column, pixels.slice)
        if what == "alpha"
        else _signal(scene.geometry, pixels, scene.wavelength, scene.stars, scene.background, scene.psf)
    )
    return plane


def _signal(
    geometry: IfuGeometry,
    pixels: _Pixels,
    wavelength: npt.NDArray[np.float64],
    stars: tuple[Star, ...],
    background: Spectrum,
    psf: Psf,
) -> npt.NDArray[np.float64]:
    """Return the noise-free signal that native-size pixels centred at the given places would have."""
    alpha = geometry.alpha_at(pixels.row, pixels.column, pixels.slice)
    half = 0.5 * geometry.pixel_width_at(pixels.row, pixels.column, pixels.slice)
    # Diffuse light: ten per cent brighter at one corner of the field, ten per cent fainter at the opposite one.
    extent = geometry.pixel_scale * geometry.height + geometry.slice_width * geometry.n_slices
    gradient = 1.0 + 0.2 / extent * (alpha + geometry.beta[pixels.slice])
    signal = background(wavelength)[pixels.column] * gradient
    for star in stars:
        flux = star.spectrum(wavelength)
        for fraction, sigma in psf.components(wavelength):
            offset = geometry.beta[:, None] - star.beta
            through = fraction_between(offset - geometry.slice_width / 2.0, offset + geometry.slice_width / 2.0, sigma)
            weight = (fraction * flux * through)[pixels.slice, pixels.column]
            distance = alpha - star.alpha
            signal += weight * fraction_between(distance - half, distance + half, sigma[pixels.column])
    return signal


def _expose(
    signal: npt.NDArray[np.float64], detector: Detector, random: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return flux, error, the pixels hit by cosmic rays and the dead pixels."""
    n = len(signal)
    hit = np.zeros(n, dtype=np.bool_)
    hit[random.choice(n, size=round(n * detector.cosmic_ray_fraction), replace=False)] = True
    bad = np.zeros(n, dtype=np.bool_)
    bad[random.choice(n, size=round(n * detector.bad_fraction), replace=False)] = True
    flux = signal.copy()
    # A cosmic ray leaves a few times what bright pixels of this exposure hold.
    bright = float(np.percentile(signal, _BRIGHT_PERCENTILE)) if n else 0.0
    flux[hit] += bright * random.exponential(1.0, int(hit.sum()))
    error = np.sqrt(detector.read_noise**2 + np.maximum(flux, 0.0) / detector.photons)
    flux += error * random.standard_normal(n)
    flux[bad] = np.nan
    error[bad] = np.nan
    return flux, error, hit, bad
