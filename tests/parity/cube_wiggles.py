"""How much the spectrum of a star wiggles in the cubes that jwst makes of an exposure, before and after.

``python -m tests.parity.cube_wiggles EXPOSURE [FACTOR]`` in an environment that has jwst. EXPOSURE is the full exposure
of the reference data. Its noise is taken away: each pixel gets the noise-free scene that the reference data were made
of (`mrs_scene` of ``generate.py`` beside it), and no pixel is bad. jwst's own cube_build makes a cube of that as it is,
of the product of jwst's own step, and of the products of `pixtrace oversample`, default and robust. What is printed is
`pixtrace.trace.wiggle_rms` of the spectrum of the brightest spaxel, and of the spaxels one and two off it along either
axis: the median and the largest of the four.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.io import oversample_file
from pixtrace.trace import TraceParams, wiggle_rms
from tests.parity.accepted_by_jwst import datamodels, resampled, write_cube_parameters

if TYPE_CHECKING:
    import numpy.typing as npt

CHANNELS = ("1", "2")


def write_noise_free(exposure: Path, path: Path) -> None:
    """Write an exposure whose pixels hold the noise-free scene, with the errors that they would have."""
    spec = importlib.util.spec_from_file_location("reference_generate", exposure.with_name("generate.py"))
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    cases: dict[str, Any] = json.loads(exposure.with_name("cases.json").read_text(encoding="utf-8"))
    params = cases["exposures"]["A"]
    with datamodels.open(str(exposure)) as model:
        det2ab = model.meta.wcs.get_transform("detector", "alpha_beta")
        region = np.asarray(det2ab.label_mapper.mapper)
        y, x = np.mgrid[: region.shape[0], : region.shape[1]].astype(float)
        scene = generate.mrs_scene(det2ab, region, x, y, params)
        poisson = params["gain"] * np.abs(scene)
        read = np.full_like(scene, params["read_noise"] ** 2)
        flat = (0.005 * scene) ** 2
        model.data = scene.astype(np.float32)
        model.err = np.sqrt(poisson + read + flat).astype(np.float32)
        model.var_poisson, model.var_rnoise, model.var_flat = (v.astype(np.float32) for v in (poisson, read, flat))
        model.dq = np.where(region > 0, 0, 512).astype(np.uint32)
        model.save(str(path))


def by_jwst(path: Path, output: Path, factor: float) -> None:
    """Write the product of jwst's own step."""
    step: Any = import_module("jwst.adaptive_trace_model").AdaptiveTraceModelStep
    step.call(str(path), skip=False, oversample=factor).save(str(output))


def around(cube: npt.NDArray[Any]) -> list[list[float]]:
    """Return the rms at the brightest spaxel, and at the four spaxels one and two off it."""
    image = np.nanmedian(np.where(np.isfinite(cube).mean(axis=0) > 0.5, cube, np.nan), axis=0)
    y, x = np.unravel_index(int(np.nanargmax(image)), image.shape)
    places = [[(0, 0)], *([(-k, 0), (k, 0), (0, -k), (0, k)] for k in (1, 2))]
    return [[wiggle_rms(cube[:, y + dy, x + dx]) for dy, dx in part] for part in places]


def main(words: list[str]) -> None:
    """Make the products and the cubes, and print a table."""
    os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "True"
    crds_client: Any = import_module("stpipe.crds_client")
    crds_client.get_context_used = lambda _: "N/A"  # no server is needed
    factor = float(words[1]) if len(words) > 1 else 3.0
    with tempfile.TemporaryDirectory() as folder:
        parameters, plain = Path(folder) / "cubepar.fits", Path(folder) / "noisefree_cal.fits"
        write_cube_parameters(parameters)
        write_noise_free(Path(words[0]), plain)
        paths = {"as it is": plain}
        for name in ("jwst", "default", "robust"):
            paths[name] = Path(folder) / f"{name}.fits"
        by_jwst(plain, paths["jwst"], factor)
        oversample_file(plain, paths["default"], factor)
        oversample_file(plain, paths["robust"], factor, TraceParams.robust())
        print(f"| x {factor:g} | channel | peak spaxel [%] | one off: median, largest | two off: median, largest |")  # noqa: T201
        print("|---|---|---|---|---|")  # noqa: T201
        for name, path in paths.items():
            for channel in CHANNELS:
                cube = resampled(str(path), parameters, channel=channel)[0]
                peak, *off = around(cube)
                cells = [f"{100 * peak[0]:.2f}", *(f"{100 * np.median(o):.2f}, {100 * max(o):.2f}" for o in off)]
                print(f"| {name} | {channel} | {' | '.join(cells)} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
