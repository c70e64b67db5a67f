"""Ready-made scenes: the undersampled star of the demo, and the large image of the benchmarks."""

from __future__ import annotations

from pixtrace.simulate.geometry import IfuGeometry
from pixtrace.simulate.psf import Psf
from pixtrace.simulate.scene import Detector, Scene, Spectrum, Star, simulate

__all__ = ["nirspec_ifu", "star_in_ifu"]


def star_in_ifu(
    *,
    n_columns: int = 1024,
    n_slices: int = 5,
    snr: float = 300.0,
    seed: int = 0,
    tilt: float = 28.0,
    dither: tuple[float, float] = (0.0, 0.0),
) -> Scene:
    """Simulate an undersampled star in a small integral-field unit, with the pixels of MIRI MRS channel 1.

    The core of the star is 1.6 pixels wide (full width at half maximum), so that the spectrum along a detector row, or
    along a row of the rectified slice, goes up and down as the tilted slice carries the star across the pixels.

    Parameters
    ----------
    n_columns : int, optional
        Number of columns (dispersion), at least 100.
    n_slices : int, optional
        Number of slices; the star stands in the middle one, slightly off its middle.
    snr : float, optional
        Signal-to-noise ratio of the brightest pixels.
    seed : int, optional
        Seed of the noise.
    tilt : float, optional
        Rows by which the slices climb from the first column to the last. With less than a row and its bow, a column
        samples the star much as its neighbours do.
    dither : tuple of float, optional
        How far the star has moved along and across the slices [arcsec]; a row is 0.196 arcsec.

    Returns
    -------
    Scene
        Slices 101, 102...; about 29 rows per slice; flux in units of MJy/sr or thereabouts.
    """
    geometry = IfuGeometry(
        shape=(30 * n_slices + 36, n_columns),
        n_slices=n_slices,
        height=24.0,
        pixel_scale=0.196,
        slice_width=0.177,
        tilt=tilt,
        bow=min(4.0, tilt / 7.0),
        first_label=101,
    )
    spectrum = Spectrum(
        level=20000.0,
        wavelength=5.3,
        slope=-1.6,
        lines=((5.05, -0.06, 0.004), (5.34, 0.35, 0.0022), (5.51, 0.2, 0.0022), (5.61, -0.08, 0.006)),
    )
    peak = 6400.0  # what the brightest pixels of this scene hold, to a few per cent
    along, across = dither
    star = Star(alpha=0.14 + along, beta=geometry.beta[n_slices // 2] + 0.02 + across, spectrum=spectrum)
    return simulate(
        geometry,
        stars=(star,),
        background=Spectrum(level=20.0, wavelength=5.3, slope=2.0, lines=((5.34, 1.5, 0.0022),)),
        psf=Psf(fwhm=0.31, wavelength=5.3),
        detector=Detector(read_noise=2.0, photons=snr**2 / peak),
        wavelength=(4.9, 5.74),
        seed=seed,
        name="star in an IFU",
        preset="miri-mrs",
    )


def nirspec_ifu(*, size: int = 2048, n_slices: int = 30, snr: float = 200.0, seed: int = 0) -> Scene:
    """Simulate an exposure like those of the NIRSpec integral-field unit, for benchmarks.

    Thirty bowed and tilted slices of 34 rows on 2048 x 2048 pixels, a bright and a faint star, diffuse light with
    emission lines, noise, bad pixels and cosmic rays.

    Parameters
    ----------
    size : int, optional
        Number of columns, and of rows.
    n_slices : int, optional
        Number of slices. The length of a slice stays 34 rows while they fit, else it shrinks.
    snr : float, optional
        Signal-to-noise ratio of the brightest pixels.
    seed : int, optional
        Seed of the noise.

    Returns
    -------
    Scene
        Slices 1, 2...; alpha in arcsec; flux in arbitrary units.
    """
    tilt, bow = 12.0 * size / 2048.0, 40.0 * size / 2048.0
    geometry = IfuGeometry(
        shape=(size, size),
        n_slices=n_slices,
        height=min(34.0, 0.9 * (size - bow - tilt - 4.0) / n_slices - 1.0),
        pixel_scale=0.1,
        slice_width=0.1,
        tilt=tilt,
        bow=bow,
        distortion=0.001,
    )
    lines = ((3.0, 0.8, 0.002), (3.1, 1.2, 0.002), (4.05, 0.6, 0.0025), (4.65, 1.0, 0.003))
    middle = geometry.beta[n_slices // 2]
    peak = 13300.0
    return simulate(
        geometry,
        stars=(
            Star(
                alpha=0.12,
                beta=middle + 0.03,
                spectrum=Spectrum(level=12000.0, wavelength=4.0, slope=-1.5, lines=lines),
            ),
            Star(alpha=-0.6, beta=middle - 0.86, spectrum=Spectrum(level=900.0, wavelength=4.0, slope=1.0)),
        ),
        # Bright enough for the edge trimming, which looks for low signal to noise, to leave the slices alone.
        background=Spectrum(level=40.0, wavelength=4.0, slope=1.0, lines=lines),
        psf=Psf(fwhm=0.13, wavelength=4.0),
        detector=Detector(read_noise=2.0, photons=snr**2 / peak),
        wavelength=(2.9, 5.1),
        seed=seed,
        name=f"NIRSpec-like IFU {size} x {size}",
        preset="nirspec-ifu",
    )
