"""The units of work of `PixelMap`, as schedulers of others call them: many at once, in threads and in processes."""

import pickle
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from pixtrace.scan import Channels, Info, Instrument, PixelMap, Reduction, Scan

N_FRAMES, N_PIXELS = 1500, 24

Scheduler = Callable[[Callable[[int], Any], Iterable[int]], Any]


def scanned(seed: int) -> tuple[PixelMap, Scan]:
    """Return maps of a noisy source, and their scan."""
    rng = np.random.default_rng(seed)
    offset = np.random.default_rng(3).uniform(-30.0, 30.0, (2, N_FRAMES))
    source = np.exp(-4.0 * np.log(2.0) * (offset**2).sum(axis=0) / 12.0**2)
    signal = source[:, np.newaxis] + rng.normal(0.0, 0.05, (N_FRAMES, N_PIXELS))
    channels = Channels(np.arange(N_PIXELS), variance=np.full(N_PIXELS, 0.05**2))
    scan = Scan.from_arrays(
        signal, np.arange(N_FRAMES) * 0.01, offset, channels, info=Info(Instrument(resolution=12.0))
    )
    return Reduction(scans=[scan]).make_maps(), scan


def work(model: PixelMap, scan: Scan, other: PixelMap, schedule: Scheduler) -> list[str]:
    """Subtract, merge, add, finish and fit, pixel by pixel; return the fits as texts."""
    frames, pixels, ones = scan[0].frames, scan.channels.create_group(), np.ones((N_FRAMES, N_PIXELS))
    numbers = range(N_PIXELS)
    maps = model.pixel_maps
    gains = (ones[:, 0], ones[0], 0.0 * ones[0])
    schedule(lambda k: PixelMap.parallel_safe_sync_source_gains((maps, frames, pixels, *gains), k), numbers)
    schedule(lambda k: PixelMap.parallel_safe_merge_accumulate((maps, other.pixel_maps), k), numbers)
    samples = (model.template, maps, numbers, frames.data, ones, ones, 0.01, frames.map_index)
    schedule(lambda k: PixelMap.parallel_safe_add_points(samples, k), numbers)
    schedule(lambda k: PixelMap.parallel_safe_process_final((maps,), k), numbers)
    arguments = (maps, False, 12.0, 3, True)
    return [str(fit) for fit in schedule(lambda k: PixelMap.parallel_safe_calculate_pixel_data(arguments, k), numbers)]


@pytest.mark.parametrize("how", ["threads", "copies for other processes"])
def test_many_units_at_once_are_as_good_as_one_after_the_other(how: str) -> None:
    other, _ = scanned(2)
    expected, straight = scanned(1)
    fits = work(expected, straight, other, lambda unit, numbers: [unit(k) for k in numbers])
    model, scan = scanned(1)
    if how == "threads":
        with ThreadPoolExecutor(8) as pool:
            assert work(model, scan, other, lambda unit, numbers: list(pool.map(unit, numbers))) == fits
    else:
        model, other = (pickle.loads(pickle.dumps(maps)) for maps in (model, other))  # noqa: S301 - our own
        assert work(model, scan, other, lambda unit, numbers: [unit(k) for k in reversed(list(numbers))])[::-1] == fits
    np.testing.assert_array_equal(scan[0].frames.data, straight[0].frames.data)
    np.testing.assert_array_equal(scan[0].frames.sample_flag, straight[0].frames.sample_flag)
    stack, same = model.need_block().stack, expected.need_block().stack
    for name in ("data", "weight", "exposure", "flag", "noise_rescale", "smoothing_fwhm"):
        np.testing.assert_array_equal(getattr(stack, name), getattr(same, name), err_msg=name)
    for name in ("sums", "factors", "missed_at", "missed"):
        found, known = (getattr(one.sample_moments, name) for one in (stack, same))
        np.testing.assert_allclose(found, known, rtol=1e-12, err_msg=name)
