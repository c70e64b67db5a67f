"""Give products to the next step of jwst's pipeline, cube_build or resample_spec.

``python -m tests.parity.accepted_by_jwst OURS [THEIRS]`` in an environment that has jwst says what the step makes of
our product of an exposure and, if that of jwst's own step is given too, how far the two results are apart.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

datamodels: Any = import_module("stdatamodels.jwst.datamodels")
fits: Any = import_module("astropy.io.fits")

_CHANNELS = np.repeat(["1", "2", "3", "4"], 3)
_BANDS = np.tile(["SHORT", "MEDIUM", "LONG"], 4)
_WAVE_MIN = [4.89, 5.65, 6.52, 7.49, 8.65, 10.00, 11.53, 13.37, 15.44, 17.66, 20.54, 23.95]
_WAVE_MAX = [5.75, 6.64, 7.66, 8.78, 10.14, 11.7, 13.48, 15.63, 18.05, 20.92, 24.40, 28.45]


def write_cube_parameters(path: Path) -> None:
    """Write a reference file of cube_build for MIRI: spaxels and spectral steps of ordinary size."""
    spaxel, step = np.repeat([0.13, 0.17, 0.2, 0.35], 3), np.repeat([0.001, 0.002, 0.003, 0.006], 3)
    which = [("CHANNEL", "1A", _CHANNELS), ("BAND", "6A", _BANDS)]
    waves = np.linspace(4.8, 29.0, 200)
    wide = [("ROISPATIAL", "E", spaxel), ("ROISPECTRAL", "E", step), ("POWER", "I", np.full(12, 2))]
    tables: dict[str, list[tuple[str, str, Any]]] = {
        "CUBEPAR": [
            *which,
            ("WAVEMIN", "E", _WAVE_MIN),
            ("WAVEMAX", "E", _WAVE_MAX),
            ("SPAXELSIZE", "E", spaxel),
            ("SPECTRALSTEP", "D", step),
        ],
        "CUBEPAR_MSM": [*which, *wide, ("SOFTRAD", "E", np.full(12, 0.01))],
        "MULTICHANNEL_MSM": [
            ("WAVELENGTH", "D", waves),
            ("ROISPATIAL", "E", np.full(200, 0.2)),
            ("ROISPECTRAL", "E", np.full(200, 0.003)),
            ("POWER", "I", np.full(200, 2)),
            ("SOFTRAD", "E", np.full(200, 0.01)),
        ],
        "MULTICHANNEL_DRIZ": [("WAVELENGTH", "E", waves)],
    }
    primary = fits.PrimaryHDU()
    primary.header.update(REFTYPE="CUBEPAR", INSTRUME="MIRI", MODELNAM="FM", DETECTOR="N/A", EXP_TYPE="MIR_MRS")
    hdus = [primary]
    for name, columns in tables.items():
        table = fits.BinTableHDU.from_columns([fits.Column(key, form, array=values) for key, form, values in columns])
        table.header["EXTNAME"] = name
        hdus.append(table)
    fits.HDUList(hdus).writeto(path)


def resampled(path: str, parameters: Path, *, channel: str = "1") -> list[npt.NDArray[Any]]:
    """Return the cube of a channel, or the rectified image of each slit."""
    with datamodels.open(path) as model:
        is_cube = type(model) is datamodels.IFUImageModel
    if is_cube:
        step: Any = import_module("jwst.cube_build").CubeBuildStep
        result = step.call(path, override_cubepar=str(parameters), channel=channel)[0]
    else:
        result = import_module("jwst.resample").ResampleSpecStep.call(path)
    return [np.array(part.data) for part in (result.slits if hasattr(result, "slits") else [result])]


def main(paths: list[str]) -> None:
    """Resample our product and theirs, and compare."""
    os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "True"
    crds_client: Any = import_module("stpipe.crds_client")
    crds_client.get_context_used = lambda _: "N/A"  # no server is needed
    with tempfile.TemporaryDirectory() as folder:
        parameters = Path(folder) / "cubepar.fits"
        write_cube_parameters(parameters)
        found = [resampled(path, parameters) for path in paths[:2]]
    for parts in zip(*found, strict=True):
        share = float(np.isfinite(parts[0]).mean())
        line = f"shape {parts[0].shape}, {100 * share:.1f} % finite, largest {float(np.nanmax(parts[0])):.6g}"
        if len(parts) > 1:
            same = bool(np.array_equal(np.isnan(parts[0]), np.isnan(parts[1])))
            line += (
                f"; same pixels missing: {same}, largest difference {float(np.nanmax(np.abs(parts[0] - parts[1]))):.3g}"
            )
        print(line)  # noqa: T201 - a script


if __name__ == "__main__":
    main(sys.argv[1:])
