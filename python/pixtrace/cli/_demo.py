"""``pixtrace demo oversample``: the main job on simulated data, with the wiggles before and after."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, Any

from pixtrace.cli._exit import Exit
from pixtrace.cli._run import run
from pixtrace.exceptions import MissingExtraError

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.cli._options import Options
    from pixtrace.cli._terminal import Terminal
    from pixtrace.simulate import Scene, Wiggles

__all__ = ["demo_oversample"]

_CUTOUT_COLUMNS = 90


def demo_oversample(options: Options, seed: int, terminal: Terminal) -> Exit:
    """Simulate a star, oversample it with the command, and compare its spectrum before and after with the truth.

    Parameters
    ----------
    options : Options
        Folder, factor and threads; files of an earlier demo are replaced.
    seed : int
        Seed of the noise.
    terminal : Terminal
        Where to report.

    Returns
    -------
    Exit
        That of the command.
    """
    import numpy as np

    from pixtrace.io import open_exposure, write_image
    from pixtrace.io.fitsfile import open_fits
    from pixtrace.simulate import star_in_ifu, wiggles

    scene = star_in_ifu(seed=seed)
    star = scene.stars[0]
    options.output.mkdir(parents=True, exist_ok=True)
    source = options.output / "star.fits"
    write_image(source, scene.image, preset=scene.preset, overwrite=True)
    terminal.say(f"simulated an undersampled star in an IFU of {scene.geometry.n_slices} slices -> {source}")
    words = ["oversample", str(source), "--factor", f"{options.factor:g}", "-o", str(options.output), "--overwrite"]
    terminal.say(f"$ pixtrace {shlex.join(words)}")
    outcome = run([str(source)], options, terminal)
    if outcome is not Exit.OK:
        return outcome
    with open_exposure(source) as exposure:
        product = options.output / exposure.output_name(options.factor)
    with open_fits(product) as hdus:
        flux_os = np.array(hdus["SCI"].data, dtype=np.float64)
    found = wiggles(scene, star, flux_os, options.factor)
    terminal.say("")
    terminal.say(
        f"spectrum of the star, rms against the truth:  {found.rms_before:.2%} before  ->  {found.rms_after:.2%} after"
    )
    terminal.say(f"result   {product}")
    terminal.say(_picture(scene, flux_os, found, options))
    return Exit.OK


def _picture(scene: Scene, flux_os: npt.NDArray[Any], found: Wiggles, options: Options) -> str:
    """Draw the picture and return the line about it."""
    path = options.output / "wiggles.png"
    native, fine = _cutouts(scene, flux_os, options.factor)
    title = "An undersampled star in an integral-field unit"
    try:
        from pixtrace.plots import save_figure, wiggles_figure

        save_figure(wiggles_figure(found, native, fine, title=title, factor=options.factor), path, overwrite=True)
    except MissingExtraError as error:
        return f"picture  none: {error}"
    return f"picture  {path}"


def _cutouts(scene: Scene, flux_os: npt.NDArray[Any], factor: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the middle of the star's slice, in detector pixels and oversampled."""
    import numpy as np

    region = scene.region_of(scene.stars[0])
    n_x = scene.geometry.shape[1]
    first = max((n_x - _CUTOUT_COLUMNS) // 2, 0)
    columns = slice(first, first + _CUTOUT_COLUMNS)
    inside = scene.geometry.region_map[:, columns] == region
    rows = np.flatnonzero(inside.any(axis=1))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    fine = slice(math.floor(top * factor), math.ceil(bottom * factor))
    inside_os = scene.region_map_os(factor)[fine, columns] == region
    return (
        np.where(inside[top:bottom], scene.image.flux[top:bottom, columns], np.nan),
        np.where(inside_os, flux_os[fine, columns], np.nan),
    )
