"""Calls functions of sofia_redux on request, in the environment that has it, for `tests.bench.scan`.

Its best setting is one job. Everything is called once on a small problem first, so that no compilation is timed.
"""

import os
import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.bench.reference_runner import Request, answer_requests, timed

PLANES = ("data", "weight", "exposure")
FOR_PIXELS = {"frame_data", "sample_flags", "source_gains", "variance", "truth"}
held: dict[str, Any] = {}

#: The parts of sofia_redux that are used, and where they are.
PARTS = {
    "Coordinate2D": "coordinate_systems.coordinate_2d",
    "FocalPlaneCoordinates": "coordinate_systems.focal_plane_coordinates",
    "SphericalGrid": "coordinate_systems.grid.spherical_grid",
    "SphericalProjection": "coordinate_systems.projection.spherical_projection",
    "FrameFlags": "flags.frame_flags",
    "Reduction": "reduction.reduction",
    "AstroIntensityMap": "source_models.astro_intensity_map",
    "Image2D": "source_models.maps.image_2d",
    "PixelMap": "source_models.pixel_map",
}


@cache
def sofia() -> Any:
    """Return the parts of sofia_redux that are used, imported late so that a fresh process is ready at once."""
    for name in ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = "1"
    warnings.simplefilter("ignore")
    astropy, units = import_module("astropy"), import_module("astropy.units")
    parts = {name: getattr(import_module(f"sofia_redux.scan.{module}"), name) for name, module in PARTS.items()}
    functions = import_module("sofia_redux.scan.source_models.source_numba_functions")
    astropy.log.setLevel("ERROR")
    return SimpleNamespace(log=astropy.log, arcsec=units.Unit("arcsec"), second=units.s, functions=functions, **parts)


def frames_of(arrays: dict[str, Any]) -> Any:
    """Return the timestreams as an object with the attributes that the reference asks for."""
    flags = sofia().FrameFlags
    n_frames = arrays["frame_data"].shape[0]
    flagged = arrays["sample_flags"] != 0
    return SimpleNamespace(
        flagspace=flags,
        data=arrays["frame_data"].copy(),
        valid=arrays["valid_frames"],
        flag=np.zeros(n_frames, np.int64),
        relative_weight=arrays["frame_weights"],
        sample_flag=np.where(flagged, flags.flags.SAMPLE_SPIKE.value, 0).astype(np.int64),
        map_index=SimpleNamespace(coordinates=arrays["map_indices"]),
        is_unflagged=lambda _flag: np.ones(n_frames, bool),
    )


def channels_of(arrays: dict[str, Any], dt: float) -> Any:
    """Return the pixels as an object with the attributes that the reference asks for."""
    n = arrays["variance"].size
    channels = SimpleNamespace(
        fixed_index=np.arange(n),
        indices=np.arange(n),
        size=n,
        variance=arrays["variance"],
        coupling=np.ones(n),
        info=SimpleNamespace(instrument=SimpleNamespace(sampling_interval=dt * sofia().second)),
    )
    channels.get_mapping_pixels = lambda **_flags: channels
    return channels


def new_map(reduction: Any, grid: Any, shape: tuple[int, int], beam: float) -> Any:
    """Return a blank map."""
    found = sofia().AstroIntensityMap(reduction.info, reduction=reduction)
    found.grid = grid
    found.map.set_grid(grid)
    found.set_data_shape(shape)
    found.map.set_underlying_beam(beam * sofia().arcsec)
    found.base = sofia().Image2D(data=np.zeros(shape))
    scan = {"frame_flagspace": sofia().FrameFlags, "weight": 1.0, "integrations": [], "channels": None, "mjd": 0.0}
    found.scans = [SimpleNamespace(**scan, get_id=lambda: "scan")]
    return found


def prepare(arrays: dict[str, Any], request: Request) -> dict[str, Any]:
    """Return an empty model and what to add to it."""
    s = sofia()
    n_y, n_x = request["shape"]
    reduction = s.Reduction("example")
    s.log.setLevel("ERROR")
    options = {
        "parallel.cores": "1",
        "parallel.jobs": "1",
        "source.type": "pixelmap",
        "indexing.check_memory": "False",
        "pixelmap.process": "False",
        "pointing.method": "peak",
        "pointing.lsq": "True",
        "pointing.significance": "5.0",
    }
    for key, value in options.items():
        reduction.configuration.parse_key_value(key, value)
    reduction.update_parallel_config()
    grid, projection, reference = s.SphericalGrid(), s.SphericalProjection.for_name("TAN"), s.FocalPlaneCoordinates()
    reference.set([0, 0])
    projection.set_reference(reference)
    grid.projection = projection
    grid.set_resolution(s.Coordinate2D(np.full(2, request["resolution"]) * s.arcsec))
    grid.reference_index = s.Coordinate2D([0.5 * (n_x - 1), 0.5 * (n_y - 1)])
    model = s.PixelMap(reduction.info, reduction=reduction)
    model.grid = grid
    model.template = new_map(reduction, grid, (n_y, n_x), request["beam"])
    channels = channels_of(arrays, request["dt"])
    model.scans = [
        SimpleNamespace(frame_flagspace=s.FrameFlags, channels=channels, weight=1.0, integrations=[]),
    ]
    return {"model": model, "frames": frames_of(arrays), "channels": channels, "arrays": arrays, "shape": (n_y, n_x)}


def load(request: Request) -> Request:
    """Read the timestreams and add them once; all of it on a few frames and pixels before, to have it compiled."""
    with np.load(request["path"]) as archive:
        arrays = {key: archive[key] for key in archive.files}
    few = {name: array[..., :2] if name in FOR_PIXELS else array for name, array in arrays.items()}
    held["case"] = prepare(few, request)
    for do, doing in DOINGS.items():
        if do != "load":
            doing(request)
    held["case"] = prepare(arrays, request)
    add(request)
    return {}


def save(request: Request, **arrays: Any) -> None:
    """Write results, and the maps as they are."""
    maps = list(held["case"]["model"].pixel_maps.values())[: request["n_checked"]]
    planes = {
        name: np.stack([getattr(found.map, name).data if name != "data" else found.map.data for found in maps])
        for name in PLANES
    }
    valid = np.stack([found.map.valid for found in maps])
    everything: dict[str, Any] = {"valid": valid, **planes, **arrays}
    np.savez(request["result"], **everything)


def add(request: Request) -> Request:
    """Add the timestreams to the maps, which exist from the second time on."""
    case = held["case"]
    arrays = case["arrays"]
    seconds, _ = timed(
        lambda: case["model"].add_points(
            case["frames"], case["channels"], arrays["frame_gains"], arrays["source_gains"]
        )
    )
    save(request)
    return {"seconds": seconds}


def each_map(request: Request, work: Any) -> Request:
    """Do something with each map."""
    maps = list(held["case"]["model"].pixel_maps.values())

    def call() -> None:
        for found in maps:
            work(found)

    seconds, _ = timed(call)
    save(request)
    return {"seconds": seconds}


def end(request: Request) -> Request:
    """Divide the sums by the weights; undone afterwards, for the next time."""
    answer = each_map(request, lambda found: found.map.end_accumulation())
    for found in held["case"]["model"].pixel_maps.values():
        found.map.data = found.map.data * found.map.weight.data
    return answer


def add_end(request: Request) -> Request:
    """Add the timestreams to maps of zeros and divide the sums by the weights; undone afterwards, for the next time."""
    case = held["case"]
    arrays, maps = case["arrays"], list(case["model"].pixel_maps.values())
    kept = [planes_of(found) for found in maps]
    for found in maps:
        set_planes(found, [np.zeros(case["shape"]) for _ in PLANES])

    def call() -> None:
        case["model"].add_points(case["frames"], case["channels"], arrays["frame_gains"], arrays["source_gains"])
        for found in maps:
            found.map.end_accumulation()

    seconds, _ = timed(call)
    save(request)
    for found, planes in zip(maps, kept, strict=True):
        set_planes(found, planes)
    return {"seconds": seconds}


def planes_of(found: Any) -> list[Any]:
    """Return copies of data, weights and exposures of a map."""
    return [plane.copy() for plane in (found.map.data, found.map.weight.data, found.map.exposure.data)]


def set_planes(found: Any, planes: list[Any]) -> None:
    """Set what `planes_of` returned."""
    found.map.data, found.map.weight.data, found.map.exposure.data = planes


def merge(request: Request) -> Request:
    """Add each map to a copy of itself."""
    maps = list(held["case"]["model"].pixel_maps.values())
    kept = [planes_of(found) for found in maps]
    others = [found.copy() for found in maps]

    def call() -> None:
        for found, other in zip(maps, others, strict=True):
            found.merge_accumulate(other)

    seconds, _ = timed(call)
    save(request)
    for found, planes in zip(maps, kept, strict=True):
        set_planes(found, planes)
    return {"seconds": seconds}


def normalised(request: Request) -> Request:
    """Turn sums into means, for good."""
    each_map(request, lambda found: found.map.end_accumulation())
    return {}


def level(request: Request) -> Request:
    """Subtract the robust level of each map."""
    return each_map(request, lambda found: found.map.level(robust=True))


def reweight(request: Request) -> Request:
    """Bring the weights of each map to the scatter of its cells."""
    return each_map(request, lambda found: found.map.reweight(robust=True))


def count(request: Request) -> Request:
    """Count the valid cells."""
    seconds, total = timed(held["case"]["model"].count_points)
    save(request, total=total)
    return {"seconds": seconds}


def sync(request: Request) -> Request:
    """Subtract the maps from the timestreams.

    What is timed is the method of the model. It takes the indices of other frames (its defect 4), so the result that is
    handed back is that of its kernel with the index of each frame.
    """
    case, s = held["case"], sofia()
    arrays, model, channels = case["arrays"], case["model"], case["channels"]
    n = channels.size
    zeros = np.zeros(n)
    frames = frames_of(arrays)
    for found in model.pixel_maps.values():
        found.base = s.Image2D(data=np.zeros(case["shape"]))
    seconds, _ = timed(
        lambda: model.sync_source_gains(frames, channels, arrays["frame_gains"], arrays["source_gains"], zeros)
    )
    checked = list(model.pixel_maps.items())[: request["n_checked"]]
    few = {name: array[..., : len(checked)] if name in FOR_PIXELS else array for name, array in arrays.items()}
    frames = frames_of(few)
    full = np.ascontiguousarray(np.broadcast_to(arrays["map_indices"], (2, *frames.data.shape)))
    for i, found in checked:
        s.functions.sync_map_samples(
            frame_data=frames.data,
            frame_valid=frames.valid,
            frame_gains=arrays["frame_gains"],
            channel_indices=np.array([int(i)]),
            map_values=found.map.data,
            map_valid=found.map.valid,
            map_masked=found.is_masked(),
            map_indices=full,
            base_values=found.base.data,
            base_valid=found.base.valid,
            source_gains=few["source_gains"],
            sync_gains=zeros[: len(checked)],
            sample_flags=frames.sample_flag,
            sample_blank_flag=s.FrameFlags.flags.SAMPLE_SOURCE_BLANK.value,
        )
    save(request, frame_data=frames.data)
    return {"seconds": seconds}


def peak(request: Request) -> Request:
    """Fit the peak of some maps by least squares."""
    maps = list(held["case"]["model"].pixel_maps.values())[: request.get("n_peaks", 2)]
    found: list[Any] = []

    def call() -> None:
        found.extend(one.get_peak_source(degree=3, reduce_degrees=True) for one in maps)

    seconds, _ = timed(call)
    projection = held["case"]["model"].grid.projection
    position = np.full((2, len(maps)), np.nan)
    for k, one in enumerate(found):
        if one is not None:
            offset = projection.project(one.coordinates)
            position[:, k] = [offset.x.to("arcsec").value, offset.y.to("arcsec").value]
    save(request, position=position)
    return {"seconds": seconds}


DOINGS: dict[str, Callable[[Request], Request]] = {
    "load": load,
    "add": add,
    "add_end": add_end,
    "end": end,
    "merge": merge,
    "normalised": normalised,
    "level": level,
    "reweight": reweight,
    "count": count,
    "sync": sync,
    "peak": peak,
}

if __name__ == "__main__":
    answer_requests(DOINGS)
