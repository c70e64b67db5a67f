"""What is measured: the full MRS exposure, and a simulated NIRSpec-like one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixtrace.io import open_exposure
from pixtrace.simulate import nirspec_ifu
from pixtrace.trace.params import TraceParams

FACTOR = 2.0

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class DataSet:
    """The planes of one exposure.

    Parameters
    ----------
    name : str
        For the tables.
    mode : tuple of str
        Exposure type, detector and grating, as jwst calls them.
    flux, error : ndarray of float32, shape (n_y, n_x)
        Data and errors.
    alpha : ndarray of float64, shape (n_y, n_x)
        Along-slice coordinate.
    region_map : ndarray of int32, shape (n_y, n_x)
        Slice labels.
    alpha_os : ndarray of float64, shape (2 n_y, n_x)
        Along-slice coordinate on the grid of factor 2.
    params : TraceParams
        The parameters of the mode.
    """

    name: str
    mode: tuple[str, str, str]
    flux: FloatArray
    error: FloatArray
    alpha: npt.NDArray[np.float64]
    region_map: npt.NDArray[np.int32]
    alpha_os: npt.NDArray[np.float64]
    params: TraceParams

    @property
    def regions(self) -> list[int]:
        """Slice labels, ascending."""
        return [int(label) for label in np.unique(self.region_map) if label > 0]

    def save(self, folder: Path) -> Path:
        """Write the arrays for the other process.

        Parameters
        ----------
        folder : Path
            Where to.

        Returns
        -------
        Path
            The file.
        """
        path = folder / f"{self.name}.npz"
        names = ("flux", "error", "alpha", "region_map", "alpha_os")
        np.savez(path, allow_pickle=False, **{name: getattr(self, name) for name in names})
        return path


def mrs(exposure: Path) -> DataSet:
    """Return the full MRS exposure with its 38 slices.

    Parameters
    ----------
    exposure : Path
        The calibrated exposure.

    Returns
    -------
    DataSet
        Turned so that dispersion runs along axis 1.
    """
    with open_exposure(exposure) as opened:
        (image,) = opened.images
        assert image.error is not None
        return DataSet(
            name="MRS",
            mode=("MIR_MRS", "MIRIFUSHORT", "NONE"),
            flux=image.flux,
            error=image.error,
            alpha=image.alpha,
            region_map=image.region_map,
            alpha_os=opened.alpha_os(0, FACTOR),
            params=opened.params,
        )


def nirspec(size: int = 2048, n_slices: int = 30) -> DataSet:
    """Return a simulated NIRSpec-like exposure.

    Parameters
    ----------
    size : int, optional
        Rows and columns.
    n_slices : int, optional
        Number of slices.

    Returns
    -------
    DataSet
        With the parameters of the NIRSpec IFU.
    """
    scene = nirspec_ifu(size=size, n_slices=n_slices)
    assert scene.image.error is not None
    return DataSet(
        name="NIRSpec",
        mode=("NRS_IFU", "NRS1", "G395H"),
        flux=scene.image.flux,
        error=scene.image.error,
        alpha=scene.image.alpha,
        region_map=scene.image.region_map,
        alpha_os=scene.alpha_os(FACTOR),
        params=TraceParams.preset("nirspec-ifu"),
    )
