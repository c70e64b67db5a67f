"""The table of docs/sofia.md: steps of a beam map, by sofia_redux alone and with our maps, on the same scan.

``python -m tests.adapters.sofia_peer.measure`` in an environment with sofia_redux, pixtrace and the reference data.
Both work in one thread; of three runs the fastest counts.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.adapters.sofia import PixelMap
from tests.adapters.sofia_peer.untyped import Reduction, log, pixel_map
from tests.reference import reference_root

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = 3
OPTIONS = {
    "beammap": "True",
    "parallel.source": "False",
    "parallel.cores": "1",
    "parallel.jobs": "1",
    "write.png": "False",
    "shift": "0.0",
    "chopper.shift": "0",
    "blacklist": "vclip",
    "grid": "5.0",
    "pointing.method": "peak",
    "pointing.reduce_degrees": "True",
    "pixelmap.process": "False",
}


def read(folder: Path) -> Any:
    """Return a reduction that has read the raw scan of the reference data."""
    path = folder / "scan.fits"
    with gzip.open(reference_root() / "pixelmap" / "scan.fits.gz") as packed, path.open("wb") as whole:
        shutil.copyfileobj(packed, whole)
    reduction = Reduction("hawc_plus")
    log.setLevel("ERROR")
    reduction.add_user_configuration(options=OPTIONS)
    reduction.read_scans([str(path)])
    reduction.validate()
    reduction.scans[0].perform("offsets")
    return reduction


def steps(reduction: Any, kind: Any) -> dict[str, float]:
    """Return the time of each step [s], with models of a class."""
    scan = reduction.scans[0]
    integration = scan[0]
    channels = integration.channels
    signals = integration.frames.data.copy()
    taken: dict[str, float] = {}

    def measure(name: str, step: Callable[[], object]) -> None:
        start = time.perf_counter()
        step()
        taken[name] = min(taken.get(name, np.inf), time.perf_counter() - start)

    for _ in range(RUNS):
        model, other = (kind(reduction.info, reduction=reduction) for _ in range(2))
        for one in (model, other):
            integration.frames.map_index = integration.frames.source_index = None
            one.create_from([scan], assign_scans=False)
        integration.frames.data[...] = signals
        measure("add the samples", lambda model=model: model.add_integration(integration))  # type: ignore[misc]
        other.add_integration(integration)
        measure("merge with another", lambda model=model, other=other: model.merge_accumulate(other))  # type: ignore[misc]
        measure("sums to means", model.process)
        pixels = channels.get_mapping_pixels(keep_flag=0)
        gains, frame_gains = np.ones(channels.size), np.ones(integration.frames.size)
        measure(
            "subtract the source",
            lambda model=model, pixels=pixels, gains=gains, frame_gains=frame_gains: model.sync_source_gains(  # type: ignore[misc]
                integration.frames, pixels, frame_gains, gains, 0.0 * gains
            ),
        )
        scan.channels.data.coupling[...] = 1.0
        measure("positions and couplings", model.calculate_pixel_data)
        taken["number of maps"] = len(model.pixel_maps)
    integration.frames.data[...] = signals
    return taken


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        reduction = read(Path(folder))
        steps(reduction, pixel_map.PixelMap)  # compiles what numba compiles
        theirs, ours = steps(reduction, pixel_map.PixelMap), steps(reduction, PixelMap)
        n_frames, _ = reduction.scans[0][0].frames.data.shape
        print(f"{ours.pop('number of maps'):.0f} maps, {n_frames} frames")
        for name, seconds in ours.items():
            print(f"| {name} | {1e3 * theirs[name]:.1f} ms | {1e3 * seconds:.1f} ms | {theirs[name] / seconds:.0f} |")
        reduction.configuration.parse_key_value("pointing.method", "gaussian")
        gaussian = steps(reduction, PixelMap)["positions and couplings"]
        print(f"| with `pointing.method=gaussian` | - | {1e3 * gaussian:.1f} ms | |")


if __name__ == "__main__":
    main()
