"""Timestreams of all sorts, and what can be done with them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from pixtrace.scan import MapStack
from tests.oracles.map_stack import MapStack as SlowMapStack

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

Array = Any
EXCLUDED = 0b0110
BLANK = 0b1000
DT = 0.25  # exact, so that sums of it are
PLANES = ("data", "weight", "exposure", "flag")
FRAME_AXES = {
    "frame_data": 0,
    "frame_gains": 0,
    "frame_weights": 0,
    "valid_frames": 0,
    "map_indices": 1,
    "sample_flags": 0,
}
I64 = np.iinfo(np.int64)


@dataclass(frozen=True)
class Timestreams:
    """Samples, by the names of `MapStack.add_points`, and the shape of the maps they are for."""

    shape: tuple[int, int]
    frame_data: Array
    frame_gains: Array
    frame_weights: Array
    source_gains: Array
    channel_variance: Array
    valid_frames: Array
    map_indices: Array
    channel_indices: Array
    sample_flags: Array
    exclude_sample_flag: int = EXCLUDED
    grid: dict[str, Any] = field(default_factory=lambda: {"resolution": (2.0, 3.0), "reference_index": (1.5, 2.0)})

    def but(self, **changes: Any) -> Timestreams:
        """Return the same timestreams but for some arrays."""
        return replace(self, **changes)

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of `MapStack.add_points` except `dt`."""
        return {name: value for name, value in vars(self).items() if name not in {"shape", "grid"}}

    @property
    def arrays(self) -> dict[str, Array]:
        """Arguments that are arrays."""
        return {name: value for name, value in self.arguments.items() if name != "exclude_sample_flag"}

    def map_arrays(self, change: Callable[[Array], Array]) -> Timestreams:
        """Return the same timestreams with every array changed by a function."""
        return self.but(**{name: change(array) for name, array in self.arrays.items()})

    def frames(self, chosen: Array) -> Timestreams:
        """Return some of the frames, in the order in which they are named."""
        return self.but(**{name: np.take(getattr(self, name), chosen, axis) for name, axis in FRAME_AXES.items()})

    def empty(self) -> MapStack:
        """Return a stack for all listed channels."""
        return MapStack(self.channel_indices.size, self.shape, **self.grid)

    def empty_twin(self) -> SlowMapStack:
        """Return the slow twin of such a stack."""
        return SlowMapStack(self.channel_indices.size, self.shape, **self.grid)

    def add_to(self, stack: Any, **options: Any) -> Any:
        """Add all samples to a stack or its twin, and return it."""
        stack.add_points(**self.arguments, dt=DT, **options)
        return stack

    def maps(self, **options: Any) -> MapStack:
        """Return a stack of all samples."""
        found: MapStack = self.add_to(self.empty(), **options)
        return found

    @property
    def used_frames(self) -> npt.NDArray[np.bool_]:
        """Frames whose samples count."""
        gain, weight = self.frame_gains, self.frame_weights
        used: npt.NDArray[np.bool_] = self.valid_frames & np.isfinite(gain) & (gain != 0) & (weight > 0)
        return used

    @property
    def wanted(self) -> npt.NDArray[np.bool_]:
        """Samples that count if they are finite, shape (n_frames, n_listed)."""
        gain = self.source_gains[self.channel_indices]
        wanted: npt.NDArray[np.bool_] = self.used_frames[:, np.newaxis] & np.isfinite(gain) & self._with_gain
        return wanted

    @property
    def without_gain(self) -> npt.NDArray[np.bool_]:
        """Samples that would count but for a gain that is not finite, shape (n_frames, n_listed)."""
        gain, of_frame = self.source_gains[self.channel_indices], self.frame_gains
        weight = self.frame_weights
        frames = self.valid_frames & (of_frame != 0) & np.isfinite(weight) & (weight > 0)
        lost = ~np.isfinite(of_frame)[:, np.newaxis] | ~np.isfinite(gain)
        without: npt.NDArray[np.bool_] = frames[:, np.newaxis] & lost & self._with_gain
        return without

    @property
    def _with_gain(self) -> npt.NDArray[np.bool_]:
        """Samples on the map, not flagged, whose channel has a variance and a gain, be it finite or not."""
        channels = self.channel_indices
        is_good = (self.source_gains[channels] != 0) & (self.channel_variance > 0)
        x, y = self.map_indices if self.map_indices.shape[2] == 1 else self.map_indices[..., channels]
        n_y, n_x = self.shape
        is_inside = (x >= 0) & (x < n_x) & (y >= 0) & (y < n_y)
        is_flagged = (self.sample_flags[:, channels] & self.exclude_sample_flag) != 0
        with_gain: npt.NDArray[np.bool_] = is_good & is_inside & ~is_flagged
        return with_gain

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Samples that count, shape (n_frames, n_listed)."""
        good: npt.NDArray[np.bool_] = self.wanted & np.isfinite(self.frame_data[:, self.channel_indices])
        return good


def make_timestreams(
    seed: int,
    *,
    n_frames: int = 60,
    n_channels: int = 20,
    shape: tuple[int, int] = (7, 9),
    n_listed: int | None = None,
    is_shared: bool = True,
    is_spoilt: bool = True,
) -> Timestreams:
    """Make timestreams of white noise.

    Parameters
    ----------
    seed : int
        Of the random numbers.
    n_frames, n_channels : int
        How many.
    shape : (int, int)
        Shape of the maps.
    n_listed : int, optional
        How many channels are listed, in any order; by default all, in order.
    is_shared : bool
        Whether all channels of a frame have one map index.
    is_spoilt : bool
        Whether there are bad frames, channels, flags, samples and indices among them.

    Returns
    -------
    Timestreams
        Of values of the order of one.
    """
    rng = np.random.default_rng(seed)
    n_y, n_x = shape
    n_indices = 1 if is_shared else n_channels
    channels = np.arange(n_channels) if n_listed is None else rng.permutation(n_channels)[:n_listed]
    data = rng.standard_normal((n_frames, n_channels)).astype(np.float32).astype(np.float64)
    gains, weights = rng.normal(1.0, 0.2, n_frames), rng.uniform(0.5, 1.5, n_frames)
    source_gains, variance = rng.normal(1.0, 0.2, n_channels), rng.uniform(0.5, 2.0, channels.size)
    flags = np.zeros((n_frames, n_channels), np.int64)
    reach = 2 if is_spoilt else 0
    x, y = (rng.integers(-reach, n + reach, (n_frames, n_indices)) for n in (n_x, n_y))
    valid = np.ones(n_frames, np.bool_)
    if is_spoilt:

        def spoil(array: Array, share: float, *values: float) -> None:
            places = rng.random(array.shape) < share
            array[places] = rng.choice(np.array(values, dtype=array.dtype), int(places.sum()))

        spoil(data, 0.05, np.nan, np.inf, -np.inf)
        spoil(gains, 0.15, 0.0, np.nan, -1.0, np.inf)
        spoil(weights, 0.1, 0.0)
        spoil(valid, 0.1, 0.0)
        spoil(source_gains, 0.15, 0.0, np.nan, -0.5)
        spoil(variance, 0.15, 0.0, np.nan, -1.0)
        spoil(flags, 0.15, 0b0001, 0b0010, 0b0100, 0b1001, 0b1010)
        for indices in (x, y):
            spoil(indices, 0.05, -1)
            indices[rng.random(indices.shape) < 0.03] = I64.max
            indices[rng.random(indices.shape) < 0.03] = I64.min
    return Timestreams(
        shape=shape,
        frame_data=data,
        frame_gains=gains,
        frame_weights=weights,
        source_gains=source_gains,
        channel_variance=variance,
        valid_frames=valid,
        map_indices=np.stack([x, y]),
        channel_indices=channels,
        sample_flags=flags,
    )


@st.composite
def timestreams(draw: st.DrawFn, *, is_spoilt: bool = True, most_channels: int = 40) -> Timestreams:
    """Draw timestreams, from none to some thousand samples."""
    n_channels = draw(st.integers(0, most_channels))
    return make_timestreams(
        draw(st.integers(0, 2**32 - 1)),
        n_frames=draw(st.integers(0, 60)),
        n_channels=n_channels,
        shape=(draw(st.integers(1, 15)), draw(st.integers(1, 15))),
        n_listed=draw(st.one_of(st.none(), st.integers(0, n_channels))),
        is_shared=draw(st.booleans()),
        is_spoilt=is_spoilt,
    )


def assert_same_maps(found: Any, expected: Any) -> None:
    """Assert that two stacks hold the same bits."""
    for name in PLANES:
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
        np.testing.assert_array_equal(np.signbit(ours), np.signbit(theirs), err_msg=name)


def assert_close_maps(found: Any, expected: Any, rtol: float = 1e-11) -> None:
    """Assert that two stacks hold the same but for rounding."""
    np.testing.assert_array_equal(found.flag, expected.flag)
    for name in PLANES[:3]:
        theirs = getattr(expected, name)
        scale = float(np.abs(theirs).max(initial=0.0))
        np.testing.assert_allclose(getattr(found, name), theirs, rtol=rtol, atol=rtol * scale, err_msg=name)
