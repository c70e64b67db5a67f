"""Small scans with a known answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.scan import Channels, Info, Instrument, PixelMap, Scan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

FWHM = 12.0
CELL = 3.0
DT = 0.01
POSITIONS = ((4.0, -6.0), (-9.0, 3.0), (0.0, 7.5), (11.0, -4.0))


def pattern(n_frames: int, extent: float = 72.0) -> npt.NDArray[np.float64]:
    """Return boresight offsets (2, n_frames) that visit all of a square [arcsec]."""
    steps = np.arange(n_frames)[np.newaxis] * np.array([[0.7548776662466927], [0.5698402909980532]])
    return np.asarray(extent * (steps % 1.0 - 0.5), dtype=np.float64)


def signals(
    offset: npt.NDArray[np.float64], positions: Sequence[tuple[float, float]], gains: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Return what pixels see of a source of unit height at the origin, (n_frames, n_pixels)."""
    columns = [
        gain * np.exp(-4.0 * np.log(2.0) * ((offset[0] + x) ** 2 + (offset[1] + y) ** 2) / FWHM**2)
        for (x, y), gain in zip(positions, gains, strict=True)
    ]
    return np.stack(columns, axis=1)


def make_scan(
    n_frames: int = 900,
    *,
    fixed_index: Sequence[int] = (7, 3, 12, 5),
    positions: Sequence[tuple[float, float]] = POSITIONS,
    gains: Sequence[float] = (1.0, 1.2, 0.8, 1.1),
    noise: float = 0.0,
    seed: int = 0,
    flag: Sequence[int] | None = None,
    options: Mapping[str, Any] | None = None,
    offset: npt.NDArray[np.float64] | None = None,
    jansky_per_beam: float = 1.0,
    **rest: Any,
) -> Scan:
    """Return a scan of a source of unit height, with the pixels at known positions."""
    bore = pattern(n_frames) if offset is None else offset
    data = signals(bore, positions, gains)
    data = data + noise * np.random.default_rng(seed).standard_normal(data.shape)
    channels = Channels(fixed_index, flag=flag, variance=noise**2 or 0.01)
    instrument = Instrument("test", sampling_interval=DT, resolution=FWHM, jansky_per_beam=jansky_per_beam)
    info = Info(instrument, {"grid": CELL, **(options or {})})
    return Scan.from_arrays(data, None, bore, channels, info=info, **rest)


def make_maps(scan: Scan, *more: Scan) -> PixelMap:
    """Return normalised maps of scans."""
    model = PixelMap(scan.info)
    model.create_from([scan, *more])
    model.reset_processing()
    model.add_scans()
    model.process()
    return model
