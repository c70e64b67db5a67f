"""Coordinates of pixels from gwcs, for every WCS that is not made of polynomials alone.

gwcs, asdf and the transforms of stdatamodels are loaded here, when they are needed, and nowhere else.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import FileReadError
from pixtrace.io.jwst.tree import need_extra

if TYPE_CHECKING:
    from pixtrace.io.jwst.modes import Mode
    from pixtrace.io.jwst.polynomial import Values
    from pixtrace.io.jwst.tree import AsdfTree

__all__ = ["GwcsFile", "GwcsModel"]

#: Pixels evaluated at once: few enough for the intermediate arrays to stay in the cache.
_CHUNK = 65536
#: Pixels with which it is tested whether the wavelength is a multiple of that of an intermediate frame.
_SAMPLE = 256
_SCALE_TOLERANCE = 1e-15
_DETECTOR = "detector"


class GwcsFile:
    """The ASDF tree of a file as objects, made only where something is asked for.

    Parameters
    ----------
    tree : AsdfTree
        The tree.

    Raises
    ------
    MissingExtraError
        asdf, gwcs or stdatamodels is not installed.
    FileReadError
        asdf cannot read the tree.
    """

    def __init__(self, tree: AsdfTree) -> None:
        for module in ("gwcs", "stdatamodels"):  # asdf finds the transforms of both by itself
            need_extra(module)
        asdf = need_extra("asdf")
        self._where = tree.where
        try:
            self._file = asdf.open(io.BytesIO(tree.content), lazy_tree=True)
        except Exception as error:
            msg = f"{tree.where}: asdf cannot read the tree ({error}); newer versions of asdf and stdatamodels may"
            raise FileReadError(msg) from error

    def wcs(self, slit: int | None) -> Any:  # noqa: ANN401 - gwcs comes without types
        """Return the `gwcs.wcs.WCS` of a slit, or of the whole file for None.

        Raises
        ------
        FileReadError
            It cannot be made.
        """
        try:
            top = self._file if slit is None else self._file["slits"][slit]
            wcs = top["meta"]["wcs"]
            wcs.available_frames  # noqa: B018 - an unknown tag would have given a dictionary
        except Exception as error:
            msg = f"{self._where}: gwcs cannot read the WCS ({error}); newer versions of gwcs and stdatamodels may"
            raise FileReadError(msg) from error
        return wcs


class GwcsModel:
    """One WCS, asked for coordinates along a slice and for wavelengths.

    Parameters
    ----------
    wcs : gwcs.wcs.WCS
        The WCS.
    mode : Mode
        Which frame holds the coordinate along the slice.
    where : str
        File and extension, for messages.

    Raises
    ------
    FileReadError
        A frame is missing.
    """

    def __init__(self, wcs: Any, mode: Mode, where: str) -> None:  # noqa: ANN401
        frames = list(wcs.available_frames)
        missing = [name for name in (_DETECTOR, mode.frame) if name not in frames]
        if missing:
            msg = f"{where}: the WCS has no frame {' and '.join(missing)}; found {', '.join(frames)}"
            raise FileReadError(msg)
        self._output, self._sign = mode.alpha_output, float(mode.alpha_sign)
        self._to_slice = wcs.get_transform(_DETECTOR, mode.frame)
        self._to_world = wcs.get_transform(mode.frame, frames[-1])
        selector = getattr(self._to_slice, "selector", None)
        self._by_slice: dict[int, Any] | None = None if selector is None else dict(selector)
        self._takes_slit = self._to_slice.n_inputs > 2  # noqa: PLR2004 - x, y, and the number of the slit
        self._scales: dict[int, float | None] = {}

    @property
    def slices(self) -> set[int] | None:
        """Numbers of the slices that have a transform of their own; None if that is not known."""
        return None if self._by_slice is None else {int(label) for label in self._by_slice}

    @property
    def label_map(self) -> Any:  # noqa: ANN401
        """Map of slice numbers on the detector, None if the WCS has none."""
        mapper = getattr(getattr(self._to_slice, "label_mapper", None), "mapper", None)
        return None if mapper is None else np.asarray(mapper)

    def coordinates(self, x: Values, y: Values, label: int, *, want_wavelength: bool = True) -> tuple[Values, Values]:
        """Return along-slice coordinate and wavelength of pixels of one region.

        Parameters
        ----------
        x, y : ndarray of float64, shape (n,)
            Pixel numbers of the file.
        label : int
            Region number.
        want_wavelength : bool, optional
            Whether the wavelength is computed; it is NaN otherwise.

        Returns
        -------
        alpha, wavelength : ndarray of float64, shape (n,)
            The wavelength in um. NaN where the WCS is not defined.
        """
        alpha, wavelength = np.empty_like(x), np.full_like(x, np.nan)
        with np.errstate(all="ignore"):  # outside a slice the transforms may divide by zero
            for start in range(0, x.size, _CHUNK):
                part = slice(start, start + _CHUNK)
                inner = self._slice_coordinates(x[part], y[part], label)
                alpha[part] = self._sign * inner[self._output]
                if want_wavelength:
                    wavelength[part] = self._wavelength(inner, label)
        return alpha, wavelength

    def _slice_coordinates(self, x: Values, y: Values, label: int) -> list[Values]:
        """Return the three coordinates in the frame of the slice."""
        if self._takes_slit:  # slits are counted from 0, regions from 1
            return list(self._to_slice(x, y, label - 1))[:3]
        if self._by_slice is not None:
            return list(self._by_slice[label](x, y))
        return list(self._to_slice(x, y))

    def _world_wavelength(self, inner: list[Values], label: int) -> Values:
        """Return the wavelength in the world frame."""
        slit = [label - 1] if self._takes_slit else []
        return np.asarray(self._to_world(*inner, *slit)[2])

    def _wavelength(self, inner: list[Values], label: int) -> Values:
        """Return the wavelength in the world frame, through the sky only if it depends on the place there."""
        if label not in self._scales:
            self._scales[label] = self._wavelength_scale(inner, label)
        scale = self._scales[label]
        return inner[2] * scale if scale is not None else self._world_wavelength(inner, label)

    def _wavelength_scale(self, inner: list[Values], label: int) -> float | None:
        """Return world wavelength over that of the slice's frame, None if the ratio is not the same everywhere.

        The transforms behind the slice hand the wavelength on, at most changing its unit, unless a wavelength
        correction was put between them; whether that is so is found out with a sample of pixels.
        """
        good = np.flatnonzero(np.isfinite(inner[2]) & (inner[2] != 0))
        if good.size < _SAMPLE:
            return None
        sample = good[:: good.size // _SAMPLE]
        ratio = self._world_wavelength([values[sample] for values in inner], label) / inner[2][sample]
        low, high = float(ratio.min()), float(ratio.max())
        return 0.5 * (low + high) if high - low <= _SCALE_TOLERANCE * abs(high) else None
