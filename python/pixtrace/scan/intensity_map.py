"""The map of one pixel: a window on a block of maps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._arrays import as_double
from pixtrace.exceptions import DataError, ShapeError
from pixtrace.scan import processing
from pixtrace.scan._gates import as_map_flags
from pixtrace.scan._units import as_arcsec
from pixtrace.scan.block import MapBlock
from pixtrace.scan.configuration import setting
from pixtrace.scan.fits import fit_maps
from pixtrace.scan.flags import MapFlag
from pixtrace.scan.map_view import MapView

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.scan.block import MapNotes
    from pixtrace.scan.fits import PixelFit
    from pixtrace.scan.projection import MapGrid

__all__ = ["IntensityMap"]

_RECORDS = ("smoothing_fwhm", "filter_fwhm", "correcting_fwhm", "filter_blanking", "noise_rescale")


class IntensityMap:
    """The map of one pixel with what was done to it; it owns nothing, but is a window on a `MapBlock`.

    Parameters
    ----------
    block : MapBlock
        The maps.
    fixed_index : int
        Number of the pixel.

    Attributes
    ----------
    block : MapBlock
    fixed_index : int
    """

    def __init__(self, block: MapBlock, fixed_index: int) -> None:
        self.block = block
        self.fixed_index = fixed_index

    def __repr__(self) -> str:
        return f"<IntensityMap of pixel {self.fixed_index}: {self.shape[1]} x {self.shape[0]} cells>"

    def copy(self, with_contents: bool = True) -> IntensityMap:
        """Return a map in a block of its own, empty if asked for."""
        if with_contents:
            return IntensityMap(self.block.select([self.fixed_index]), self.fixed_index)
        other = MapBlock(self.block.grid, [self.fixed_index], info=self.block.info)
        return IntensityMap(other, self.fixed_index)

    def copy_into(self, block: MapBlock, fixed_index: int) -> None:
        """Copy the map into a block, as that of a pixel; nothing happens if it is there already.

        Raises
        ------
        DataError
            If the block has another grid.
        """
        if block is self.block and fixed_index == self.fixed_index:
            return
        block.check_grid(self.block)
        (row,) = block.add([fixed_index])
        ours, theirs, source = block.stack, self.block.stack, self._row
        planes = ["data", "weight", "exposure", "flag"]
        if ours.has_base or theirs.has_base:
            planes.append("base")
        for name in planes:
            getattr(ours, name)[row] = getattr(theirs, name)[source]
        for name in _RECORDS:
            values = np.array(getattr(ours, name), dtype=np.float64)
            values[row] = getattr(theirs, name)[source]
            setattr(ours, name, values)
        ours.copy_moments(row, theirs, source)
        ours.mark_content(str(theirs.content[source]), pixels=[row])
        block.notes[fixed_index] = self.notes.copy()

    @property
    def _row(self) -> int:
        return self.block.row(self.fixed_index)

    @property
    def _rows(self) -> list[int]:
        return [self._row]

    @property
    def map(self) -> MapView:
        """The planes."""
        return MapView(self.block, self.fixed_index)

    @property
    def base(self) -> npt.NDArray[np.float64]:
        """The map of the round before, shape (n_y, n_x); NaN where there was none."""
        base: npt.NDArray[np.float64] = self.block.stack.base[self._row]
        return base

    @property
    def notes(self) -> MapNotes:
        """What is noted down of it."""
        return self.block.notes[self.fixed_index]

    @property
    def id(self) -> str:
        """Name of the map: the number of the pixel."""
        return str(self.fixed_index)

    @property
    def info(self) -> Any:
        """The instrument and its options."""
        return self.block.info

    @property
    def configuration(self) -> Any:
        """The options."""
        return self.block.configuration

    @property
    def grid(self) -> MapGrid:
        """The grid."""
        return self.block.grid

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_y, n_x)``."""
        return self.block.grid.shape

    @property
    def generation(self) -> int:
        """Times that the map was processed."""
        return self.notes.generation

    @property
    def integration_time(self) -> float:
        """Time that the frames in it took [s]."""
        return self.notes.integration_time

    @property
    def smoothing(self) -> float:
        """FWHM of the beam that `process` smooths to [arcsec]; 0: none."""
        return self.notes.smoothing

    @property
    def process_brief(self) -> list[str]:
        """What was done in the last round, in a few words."""
        return self.notes.process_brief

    @property
    def history(self) -> list[str]:
        """What was done altogether."""
        return self.notes.history

    def is_masked(self) -> npt.NDArray[np.bool_]:
        """Tell which cells are masked."""
        masked: npt.NDArray[np.bool_] = (self.map.flag & np.uint8(MapFlag.MASK)) != 0
        return masked

    def is_valid(self) -> bool:
        """Tell whether any cell holds data."""
        return self.count_points() > 0

    def count_points(self) -> int:
        """Return the number of valid cells."""
        return self.map.count_points()

    def covariant_points(self) -> float:
        """Return the number of cells in the smoothing beam, at least 1."""
        area = processing.GAUSSIAN_AREA * self.map.smoothing_fwhm**2
        return max(1.0, area / math.prod(self.grid.resolution))

    def get_chi2(self, robust: bool = True) -> float:
        """Return the reduced chi2 of the cells about zero; NaN if none is valid."""
        return float(self.block.stack.chi2(robust, pixels=self._rows)[0])

    def end_accumulation(self) -> None:
        """Divide sums by their weights, if that was not done yet."""
        self.map.end_accumulation()

    def merge_accumulate(self, other: IntensityMap) -> None:
        """Add the samples of another map of the same grid to this one."""
        self.block.check_grid(other.block)
        self.block.stack.merge_accumulate(other.block.stack.select(other._rows), pixels=self._rows)
        self.notes.integration_time += other.integration_time

    def add_model_data(self, other: IntensityMap, weight: float = 1.0) -> None:
        """Add another map of the same grid, with its weights times `weight`."""
        self.block.check_grid(other.block)
        self.block.stack.add_model_data(other.block.stack.select(other._rows), weight, pixels=self._rows)

    def add_base(self) -> None:
        """Add the map of the round before, where there was one, to the means."""
        if not self.block.stack.has_base:
            return
        valid = self.map.valid & ~np.isnan(self.base)
        self.map.data[valid] += self.base[valid]

    def set_base(self) -> None:
        """Keep a copy of the means as the map of the round before."""
        self.block.end_accumulation(self._rows)
        self.block.stack.set_base(pixels=self._rows)

    def level(self, robust: bool = True) -> float:
        """Subtract the weighted median, or mean, of the valid cells, and return it."""
        self.block.end_accumulation(self._rows)
        return float(self.block.stack.level(robust, pixels=self._rows)[0])

    def reweight(self, robust: bool = True) -> float:
        """Divide the weights by the reduced chi2, which is returned."""
        self.block.end_accumulation(self._rows)
        return float(self.block.stack.reweight(robust, pixels=self._rows)[0])

    def smooth_to(self, fwhm: Any) -> None:
        """Smooth to a beam of this FWHM, a quantity or a number [arcsec]; nothing happens if it is as wide already."""
        self.block.end_accumulation(self._rows)
        self.block.stack.smooth_to(as_arcsec(fwhm, "fwhm"), pixels=self._rows)

    def update_mask(self, blanking_level: float | None = None, min_neighbors: int = 2) -> None:
        """Mask the cells on the source.

        Parameters
        ----------
        blanking_level : float, optional
            Signal to noise from which a cell, of the sign of the option ``source.sign``, is masked; by default all are.
        min_neighbors : int, optional
            Valid cells that there must be in the three by three about it.
        """
        self.block.end_accumulation(self._rows)
        sign = setting(self.configuration, "source.sign")
        self.block.stack.update_mask(blanking_level, min_neighbors, sign, pixels=self._rows)

    def mem_correct(self, lambda_: float) -> None:
        """Apply the maximum-entropy correction of that strength."""
        self.block.end_accumulation(self._rows)
        self.block.stack.mem_correct(lambda_, pixels=self._rows)

    def process_scan(self, scan: Any) -> None:
        """Process the map of one scan, and set the weight of the scan by it."""
        scan.weight = float(processing.process_scan(self.block, self._rows)[0])

    def process(self) -> None:
        """Process the map as the options ask for."""
        processing.process(self.block, self._rows)

    def process_final(self) -> None:
        """Level and reweight the map for good."""
        processing.process_final(self.block, self._rows)

    def reset_processing(self) -> None:
        """Forget what was done to the map; the cells stay as they are."""
        processing.reset_processing(self.block, self._rows)

    def add_process_brief(self, message: str) -> None:
        """Add a few words on what was done."""
        self.process_brief.append(message)

    def clear_process_brief(self) -> None:
        """Forget the few words on what was done."""
        self.process_brief.clear()

    def get_peak_index(self) -> tuple[int, int] | None:
        """Return the cell (x, y) of the highest signal to noise, of the sign of the source; None if none is valid."""
        ratio = self.map.significance
        sign = setting(self.configuration, "source.sign")
        ratio = {"+": ratio, "-": -ratio, "0": np.abs(ratio)}[sign]
        if np.isnan(ratio).all():
            return None
        iy, ix = np.unravel_index(int(np.nanargmax(ratio)), ratio.shape)
        return int(ix), int(iy)

    def get_peak_coords(self) -> Any:
        """Return the offset (x, y) of that cell as a quantity [arcsec]; None if none is valid."""
        index = self.get_peak_index()
        return None if index is None else self.grid.offset_of(np.array(index, dtype=float)[:, None])[:, 0]

    def get_peak_source(self, degree: int = 3, reduce_degrees: bool = False) -> PixelFit | None:
        """Find the source, by the option ``pointing.method``; the map stays as it is.

        Parameters
        ----------
        degree : int, optional
            Of the spline through the peak.
        reduce_degrees : bool, optional
            Lower the degree where there are too few cells.

        Returns
        -------
        PixelFit or None
            None if there is no source.
        """
        beam = processing.point_size(self.info)
        fits = fit_maps(
            self.block,
            [self.fixed_index],
            point_size=beam if math.isfinite(beam) else None,
            degree=degree,
            reduce_degrees=reduce_degrees,
            level=False,
        )
        return fits.fit(0) if fits.is_found[0] else None

    def set_data(self, **planes: npt.ArrayLike) -> None:
        """Set planes: data, weight, exposure, flag, base; they count as given.

        Raises
        ------
        ShapeError, DtypeError, ParameterError
            If one has another shape, or does not hold numbers, or flags that there are not. Nothing was set then.
        DataError
            If there is no such plane.
        """
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, values in planes.items():
            if name not in {"data", "weight", "exposure", "flag", "base"}:
                msg = f"a map has no plane {name!r}; it has data, weight, exposure, flag and base"
                raise DataError(msg)
            arrays[name] = as_map_flags(values, name, ndim=2) if name == "flag" else as_double(values, name)
            if arrays[name].shape != self.shape:
                msg = f"`{name}` has shape {arrays[name].shape}; expected {self.shape}, that of the map"
                raise ShapeError(msg)
        for name, array in arrays.items():
            getattr(self.block.stack, name)[self._row] = array
        self.block.stack.mark_content("given", pixels=self._rows)
