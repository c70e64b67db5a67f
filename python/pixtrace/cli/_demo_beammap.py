"""``pixtrace demo beammap``: from a simulated scan of a planet to a report, held against the truth."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pixtrace.cli._beammap import BeamMapOptions, beammap
from pixtrace.cli._exit import Exit
from pixtrace.exceptions import OutputError

if TYPE_CHECKING:
    from pixtrace.cli._terminal import Terminal
    from pixtrace.simulate import DetectorArray

__all__ = ["demo_beammap"]

_DIAMETER = 3.5  # arcsec: Uranus


def demo_beammap(output: str, seed: int, threads: int | None, terminal: Terminal) -> Exit:
    """Simulate a scan with all that goes wrong in one, reduce it with the command, and compare with the truth.

    Parameters
    ----------
    output : str
        Folder; files of an earlier demo are replaced.
    seed : int
        Seed of everything random.
    threads : int or None
        Threads.
    terminal : Terminal
        Where to report.

    Returns
    -------
    Exit
        That of the command.

    Raises
    ------
    OutputError
        Nothing can be written there.
    """
    from pixtrace.io.scan import stream_simulated, write_neutral_fits
    from pixtrace.simulate import ArrayLayout, ScanNoise, ScanParams, ScanSimulator, ScanSource

    folder = Path(output).expanduser()
    params = ScanParams(
        array=ArrayLayout(dead_fraction=0.05, blind_fraction=0.02, noisy_fraction=0.02, oscillating_fraction=0.01),
        source=ScanSource(amplitude=600.0, diameter=_DIAMETER),
        noise=ScanNoise(
            knee=1.0, sky=10.0, group=3.0, glitch_rate=0.02, glitch_size=30.0, jump_rate=0.002, jump_size=50.0
        ),
        seed=seed,
        name="uranus",
    )
    simulator = ScanSimulator(params)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"cannot make the output folder {folder}: {error.strerror or error}; choose another with -o"
        raise OutputError(msg) from error
    scan = folder / "scan.fits"
    write_neutral_fits(scan, stream_simulated(simulator), overwrite=True)
    terminal.say(
        f"simulated a scan of a planet with {simulator.array.n_channels} pixels, drifts, sky noise, glitches -> {scan}"
    )
    words = ["beammap", str(scan), "--diameter", f"{_DIAMETER:g}", "-o", str(folder), "--overwrite"]
    terminal.say(f"$ pixtrace {shlex.join(words)}")
    options = BeamMapOptions(output=folder, overwrite=True, threads=threads, reduction={"source.diameter": _DIAMETER})
    outcome = beammap([str(scan)], options, terminal)
    if outcome is Exit.OK:
        terminal.say(_verdict(folder / f"uranus.sim-{seed}.ecsv", simulator.array, params.source.fwhm))
    return outcome


def _verdict(path: Path, array: DetectorArray, fwhm: float) -> str:
    """Return how far the table of a demo is from the truth."""
    import numpy as np

    from pixtrace.io.pixel_table import read_pixel_table

    table = read_pixel_table(path)
    both = table.is_measured & array.is_good
    away = np.stack([table.x, table.y])[:, both] - array.position[:, both]
    distance = np.hypot(*(away - np.median(away, axis=1, keepdims=True)))
    ratio = table.coupling[both] / array.gain[both]
    beam = float(np.median(table.extra["beam_fwhm"].values[both]))
    return (
        f"against the truth: {both.sum()} of {array.is_good.sum()} good pixels found, "
        f"{int((table.is_measured & ~array.is_good).sum())} bad ones taken for good; positions off by "
        f"{np.median(distance):.3f} arcsec (median), gains by {np.std(ratio / np.median(ratio)):.2%}, beam "
        f"{beam:.2f} arcsec (true {fwhm:.2f})"
    )
