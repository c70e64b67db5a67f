"""What a stack of pixel maps does, told in loops: the slow twin of `pixtrace.scan.MapStack`.

It follows the definitions, one map, one frame, one cell at a time, and has the same methods as far as they are here.
There is only one thread: `n_threads` goes unheard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.scan.sample_moments import SampleMoments
from tests.oracles.gaussian_fit import fit_stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

DISCARD, MASK = 1, 2
CHI2_MEDIAN = 0.454937  # median of a chi-squared variable of one degree of freedom, to the reference's digits
RECORDS = ("smoothing_fwhm", "filter_fwhm", "correcting_fwhm", "filter_blanking", "noise_rescale")
_GAUSSIAN_AREA = np.pi / (4.0 * np.log(2.0))

FloatArray = Any


class MapStack:
    """Maps of shape ``(n_y, n_x)``, one for each pixel.

    Parameters
    ----------
    n_pixels : int
        Number of maps.
    shape : tuple of int
        ``(n_y, n_x)``.
    resolution, reference_index : sequence of float
        ``(x, y)``.
    pixel_ids : sequence of int, optional
        Numbers of the pixels.
    """

    def __init__(
        self,
        n_pixels: int,
        shape: tuple[int, int],
        *,
        resolution: Sequence[float],
        reference_index: Sequence[float],
        pixel_ids: Sequence[int] | None = None,
    ) -> None:
        self.shape = (int(shape[0]), int(shape[1]))
        self.resolution = (float(resolution[0]), float(resolution[1]))
        self.reference_index = (float(reference_index[0]), float(reference_index[1]))
        self.pixel_ids = np.asarray(np.arange(n_pixels) if pixel_ids is None else pixel_ids, dtype=np.int64)
        full = (n_pixels, *self.shape)
        self.data, self.weight, self.exposure = np.zeros(full), np.zeros(full), np.zeros(full)
        self.flag = np.full(full, DISCARD, dtype=np.uint8)
        self.base = np.full(full, np.nan)
        self.content = ["given"] * n_pixels
        cell_fwhm = np.sqrt(np.prod(self.resolution) / _GAUSSIAN_AREA)
        self.smoothing_fwhm = np.full(n_pixels, cell_fwhm)
        self.filter_fwhm = np.full(n_pixels, np.nan)
        self.correcting_fwhm = np.full(n_pixels, np.nan)
        self.filter_blanking = np.full(n_pixels, np.nan)
        self.noise_rescale = np.ones(n_pixels)
        self.moments = np.zeros((n_pixels, 6, *self.shape))
        self.n_skipped = 0

    @property
    def sample_moments(self) -> SampleMoments:
        """Each map has a layer of its own."""
        return SampleMoments(
            sums=self.moments,
            factors=np.eye(self.n_pixels),
            missed_at=np.zeros((0, 2), np.int64),
            missed=np.zeros((0, 6)),
        )

    @sample_moments.setter
    def sample_moments(self, moments: SampleMoments) -> None:
        self.moments = np.stack([moments.of_pixel(pixel) for pixel in range(self.n_pixels)])

    def copy_moments(self, row: int, other: MapStack, source: int) -> None:
        self.moments[row] = other.moments[source]

    @classmethod
    def from_arrays(
        cls,
        data: FloatArray,
        weight: FloatArray,
        exposure: FloatArray,
        flag: npt.ArrayLike,
        *,
        base: FloatArray = None,
        resolution: Sequence[float],
        reference_index: Sequence[float],
        pixel_ids: Sequence[int] | None = None,
    ) -> MapStack:
        data = np.asarray(data)
        stack = cls(
            data.shape[0],
            (data.shape[1], data.shape[2]),
            resolution=resolution,
            reference_index=reference_index,
            pixel_ids=pixel_ids,
        )
        stack.data[...], stack.weight[...], stack.exposure[...] = data, weight, exposure
        stack.flag[...] = np.asarray(flag) & (DISCARD | MASK)
        if base is not None:
            stack.base[...] = base
        return stack

    @property
    def n_pixels(self) -> int:
        return len(self.pixel_ids)

    @property
    def has_base(self) -> bool:
        return True

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        weighed = np.isfinite(self.weight) & (self.weight > 0)
        valid: npt.NDArray[np.bool_] = ~np.isnan(self.data) & ((self.flag & DISCARD) == 0) & weighed
        return valid

    def valid_in(self, *place: Any) -> npt.NDArray[np.bool_]:
        return np.asarray(self.valid[place])

    @property
    def n_valid(self) -> npt.NDArray[np.int64]:
        return np.asarray(self.valid.sum(axis=(1, 2)))

    def count_points(self, **_: object) -> int:
        return int(self.valid.sum())

    def _rows(self, pixels: Sequence[int] | None) -> list[int]:
        return list(range(self.n_pixels)) if pixels is None else [int(row) for row in pixels]

    def mark_content(self, content: str, pixels: Sequence[int] | None = None) -> None:
        for row in self._rows(pixels):
            self.content[row] = content

    def _to_sums(self, row: int) -> None:
        if self.content[row] == "means":
            self.data[row] *= self.weight[row]
        self.content[row] = "sums"

    def add_points(
        self,
        frame_data: FloatArray,
        frame_gains: FloatArray,
        frame_weights: FloatArray,
        source_gains: FloatArray,
        channel_variance: FloatArray,
        valid_frames: npt.NDArray[np.bool_],
        map_indices: npt.NDArray[np.int64],
        channel_indices: npt.NDArray[np.int64],
        sample_flags: npt.NDArray[Any],
        exclude_sample_flag: int,
        dt: float,
        *,
        map_positions: FloatArray | None = None,
        n_threads: int | None = None,
        pixels: Sequence[int] | None = None,
    ) -> int:
        del n_threads
        n_frames = 0
        rows = self._rows(pixels)
        for row in rows:
            self._to_sums(row)
        for frame in range(frame_data.shape[0]):
            gain, weight = frame_gains[frame], frame_weights[frame]
            if not valid_frames[frame] or np.isnan(gain) or gain == 0 or weight == 0:
                continue
            n_frames += 1
            for k, channel in enumerate(channel_indices):
                variance, source_gain = channel_variance[k], source_gains[channel]
                if source_gain == 0 or variance == 0 or int(sample_flags[frame, channel]) & exclude_sample_flag:
                    continue
                ix, iy = map_indices[:, frame, channel if map_indices.shape[2] > 1 else 0]
                if not (0 <= ix < self.shape[1] and 0 <= iy < self.shape[0]):
                    continue
                value, g, w = float(frame_data[frame, channel]), gain * source_gain, weight / variance
                if not (np.isfinite(value) and np.isfinite(g) and np.isfinite(w)) or w < 0:
                    self.n_skipped += 1
                    continue
                self._add(rows[k], iy, ix, value, g, w, dt)
                if map_positions is not None:
                    self._add_moments(rows[k], map_positions[:, frame], w * g * g)
        return n_frames

    def _add(self, row: int, iy: int, ix: int, value: float, gain: float, weight: float, dt: float) -> None:
        self.data[row, iy, ix] += weight * gain * value
        self.weight[row, iy, ix] += weight * gain * gain
        self.exposure[row, iy, ix] += dt
        self.flag[row, iy, ix] &= np.uint8(255 - DISCARD)

    def _add_moments(self, row: int, position: FloatArray, weight: float) -> None:
        cell = np.floor(position + 0.5).astype(int)
        x, y = position - cell
        if 0 <= cell[0] < self.shape[1] and 0 <= cell[1] < self.shape[0]:
            self.moments[row, :, cell[1], cell[0]] += weight * np.array([1.0, x, y, x * x, x * y, y * y])

    def accumulate(
        self,
        data: FloatArray,
        gains: FloatArray,
        weights: FloatArray,
        indices: npt.NDArray[np.int64],
        dt: float,
        *,
        pixels: Sequence[int] | None = None,
    ) -> None:
        for k, row in enumerate(self._rows(pixels)):
            self._to_sums(row)
            for frame in range(data.shape[0]):
                ix, iy = indices[:, frame, k if indices.shape[2] > 1 else 0]
                if not (0 <= ix < self.shape[1] and 0 <= iy < self.shape[0]):
                    continue
                sample = (float(data[frame, k]), float(gains[frame, k]), float(weights[frame, k]))
                if not np.isfinite(sample).all():
                    self.n_skipped += 1
                    continue
                self._add(row, iy, ix, *sample, dt)

    def end_accumulation(self, *, pixels: Sequence[int] | None = None, **_: object) -> None:
        for row in self._rows(pixels):
            if self.content[row] != "means":
                weight = self.weight[row]
                self.data[row] *= np.divide(1.0, weight, out=np.zeros(self.shape), where=weight != 0)
                self.content[row] = "means"

    def _sums_of(self, other: MapStack, k: int) -> FloatArray:
        return other.data[k] * other.weight[k] if other.content[k] == "means" else other.data[k]

    def merge_accumulate(self, other: MapStack, *, pixels: Sequence[int] | None = None, **_: object) -> None:
        for k, row in enumerate(self._rows(pixels)):
            self._to_sums(row)
            valid = other.valid[k]
            self.data[row][valid] += self._sums_of(other, k)[valid]
            self.weight[row][valid] += other.weight[k][valid]
            self.exposure[row][valid] += other.exposure[k][valid]
            self.flag[row][valid] &= np.uint8(255 - DISCARD)
            self.smoothing_fwhm[row] = max(self.smoothing_fwhm[row], other.smoothing_fwhm[k])
            self.filter_fwhm[row] = np.fmin(self.filter_fwhm[row], other.filter_fwhm[k])

    def add_model_data(
        self, other: MapStack, weight: float = 1.0, *, pixels: Sequence[int] | None = None, **_: object
    ) -> None:
        for k, row in enumerate(self._rows(pixels)):
            self._to_sums(row)
            valid = other.valid[k]
            means = other.data[k] if other.content[k] != "sums" else other.data[k] / other.weight[k]
            self.data[row][valid] += (other.weight[k] * weight * means)[valid]
            self.weight[row][valid] += (other.weight[k] * weight)[valid]
            self.exposure[row][valid] += other.exposure[k][valid]
            self.flag[row][valid] &= np.uint8(255 - DISCARD)

    def set_base(self, *, pixels: Sequence[int] | None = None) -> None:
        for row in self._rows(pixels):
            self.base[row] = np.where(self.valid[row], self.data[row], np.nan)

    def level(self, robust: bool = True, *, pixels: Sequence[int] | None = None, **_: object) -> FloatArray:  # noqa: FBT002
        levels = []
        for row in self._rows(pixels):
            valid = self.valid[row]
            values, weights = self.data[row][valid], self.weight[row][valid]
            level = _center(values, weights, robust=robust)
            self.data[row][valid] -= level
            levels.append(level)
        return np.array(levels)

    def chi2(self, robust: bool = True, *, pixels: Sequence[int] | None = None, **_: object) -> FloatArray:  # noqa: FBT002
        result = []
        for row in self._rows(pixels):
            valid = self.valid[row]
            squares = self.data[row][valid] ** 2 * self.weight[row][valid]
            if squares.size == 0:
                result.append(np.nan)
            else:
                result.append(
                    _center(squares, np.ones(squares.size), robust=True) / CHI2_MEDIAN
                    if robust
                    else float(squares.mean())
                )
        return np.array(result)

    def reweight(self, robust: bool = True, *, pixels: Sequence[int] | None = None, **_: object) -> FloatArray:  # noqa: FBT002
        factors = []
        for row in self._rows(pixels):
            chi2 = float(self.chi2(robust, pixels=[row])[0])
            if np.isfinite(chi2) and chi2 > 0:
                self.weight[row] /= chi2
                self.noise_rescale[row] *= np.sqrt(chi2)
            factors.append(chi2)
        return np.array(factors)

    def update_mask(
        self,
        level: float | None = None,
        min_neighbors: int = 2,
        sign: str | int = "+",
        *,
        pixels: Sequence[int] | None = None,
        **_: object,
    ) -> None:
        direction = {"+": 1, "-": -1, "0": 0}[sign] if isinstance(sign, str) else sign
        n_y, n_x = self.shape
        for row in self._rows(pixels):
            valid = self.valid[row]
            for iy in range(n_y):
                for ix in range(n_x):
                    around = valid[max(iy - 1, 0) : iy + 2, max(ix - 1, 0) : ix + 2]
                    masked = bool(valid[iy, ix]) and int(around.sum()) >= min_neighbors
                    if masked and level is not None:
                        snr = self.data[row, iy, ix] * np.sqrt(self.weight[row, iy, ix])
                        high, low = snr >= level, snr < -level
                        masked = {1: high, -1: low, 0: high or low}[direction]
                    cell = self.flag[row, iy, ix] & np.uint8(255 - MASK)
                    self.flag[row, iy, ix] = cell | np.uint8(MASK if masked else 0)

    def sync(
        self,
        frame_data: FloatArray,
        frame_valid: npt.NDArray[np.bool_],
        frame_gains: FloatArray,
        channel_indices: npt.NDArray[np.int64],
        map_indices: npt.NDArray[np.int64],
        source_gains: FloatArray,
        sync_gains: FloatArray,
        sample_flags: npt.NDArray[Any],
        sample_blank_flag: int,
        *,
        pixels: Sequence[int] | None = None,
        n_threads: int | None = None,
    ) -> None:
        del n_threads
        valid = self.valid
        for row, channel in zip(self._rows(pixels), channel_indices, strict=True):
            for frame in np.flatnonzero(frame_valid):
                ix, iy = map_indices[:, frame, channel if map_indices.shape[2] > 1 else 0]
                if not (0 <= ix < self.shape[1] and 0 <= iy < self.shape[0]) or not valid[row, iy, ix]:
                    continue
                base = np.nan_to_num(self.base[row, iy, ix])
                if frame_gains[frame] > 0:
                    change = source_gains[channel] * self.data[row, iy, ix] - sync_gains[channel] * base
                    frame_data[frame, channel] -= frame_gains[frame] * change
                if self.flag[row, iy, ix] & MASK:
                    sample_flags[frame, channel] |= sample_blank_flag
                else:
                    sample_flags[frame, channel] &= ~np.array(sample_blank_flag, dtype=sample_flags.dtype)

    def fit_gaussians(
        self,
        *,
        pixels: Sequence[int] | None = None,
        beam_fwhm: float | None = None,
        sign: str = "+",
        significance: float = 5.0,
        round_significance: float = 3.5,
        n_threads: int | None = None,
    ) -> Any:
        del n_threads, round_significance
        return fit_stack(self, self._rows(pixels), beam_fwhm=beam_fwhm, sign=sign, significance=significance)

    def select(self, pixels: Sequence[int]) -> MapStack:
        rows = self._rows(pixels)
        other = MapStack.from_arrays(
            self.data[rows],
            self.weight[rows],
            self.exposure[rows],
            self.flag[rows],
            base=self.base[rows],
            resolution=self.resolution,
            reference_index=self.reference_index,
            pixel_ids=self.pixel_ids[rows].tolist(),
        )
        other.content = [self.content[row] for row in rows]
        for name in RECORDS:
            setattr(other, name, getattr(self, name)[rows].copy())
        other.moments = self.moments[rows].copy()
        return other

    def extend(self, pixel_ids: Sequence[int]) -> None:
        more = MapStack(
            len(pixel_ids),
            self.shape,
            resolution=self.resolution,
            reference_index=self.reference_index,
            pixel_ids=pixel_ids,
        )
        for name in ("data", "weight", "exposure", "flag", "base", "pixel_ids", "moments", *RECORDS):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(more, name)]))
        self.content = [*self.content, *more.content]

    def clear(self) -> None:
        fresh = MapStack(self.n_pixels, self.shape, resolution=self.resolution, reference_index=self.reference_index)
        for name in ("data", "weight", "exposure", "flag", "moments", *RECORDS):
            getattr(self, name)[...] = getattr(fresh, name)
        self.content = ["given"] * self.n_pixels


def _center(values: FloatArray, weights: FloatArray, *, robust: bool) -> float:
    """Return the weighted mean, or the weighted median as the reference defines it."""
    total = float(weights.sum())
    if values.size == 0 or total == 0:
        return 0.0
    if not robust or float(weights.max()) >= total:
        return float((values * weights).sum() / total)
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order]
    below = previous_sum = float(weights[0])
    last = 0
    if below >= 0.5 * total:
        return float(values[0])
    for i in range(1, values.size):
        if weights[i] <= 0:
            continue
        previous_sum, below = below, below + 0.5 * (float(weights[last]) + float(weights[i]))
        if below >= 0.5 * total:
            share = (below - 0.5 * total) / (below + previous_sum)
            return float(share * values[last] + (1.0 - share) * values[i])
        last = i
    return float(values[last])
