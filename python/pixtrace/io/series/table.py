"""Tables of a time series: brightness by integration (ECSV), and scales by integration and column (FITS)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.io.atomic import atomic_path
from pixtrace.io.jwst.pieces import Piece, write_pieces
from pixtrace.io.series.writer import array_piece

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pixtrace.trace.series import RegionSeries, TimeSeriesModel

__all__ = ["light_curves", "write_light_curves", "write_scales"]


def light_curves(models: Sequence[TimeSeriesModel]) -> Any:  # noqa: ANN401 - astropy has no types
    """Return the table of brightness by integration.

    Parameters
    ----------
    models : sequence of TimeSeriesModel
        What `pixtrace.trace.fit_time_series` made of each series of a file.

    Returns
    -------
    astropy.table.Table
        One row for each integration of each region of each series: image, region, integration, brightness relative to
        the mean of all integrations, its error, shift along the slice and its error [unit of alpha], reduced chi2, and
        the number of pixels that were used and of outliers.
    """
    from astropy.table import Table, vstack

    parts = [
        _light_curve(model.mean.name, region, found) for model in models for region, found in model.regions.items()
    ]
    return vstack(parts, metadata_conflicts="silent") if parts else Table()


def _light_curve(name: str, region: int, found: RegionSeries) -> Any:  # noqa: ANN401
    from astropy.table import Table

    n, _ = found.scales.shape
    brightness, error = found.white_light()
    used = found.n_used.sum(axis=1, dtype=np.int64)
    freedom = used - np.count_nonzero(np.isfinite(found.scales), axis=1) - (found.shift_errors > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        chi2 = np.where(freedom > 0, np.nansum(found.chi2, axis=1) / freedom, np.nan)
    return Table(
        {
            "image": np.full(n, name or "-"),
            "region": np.full(n, region, dtype=np.int32),
            "integration": np.arange(1, n + 1, dtype=np.int32),
            "brightness": brightness,
            "brightness_error": error,
            "shift": found.shifts,
            "shift_error": found.shift_errors,
            "chi2": chi2,
            "n_used": used,
            "n_rejected": found.n_rejected.sum(axis=1, dtype=np.int64),
        }
    )


def write_light_curves(path: Path, models: Sequence[TimeSeriesModel], *, overwrite: bool = False) -> None:
    """Write `light_curves` as ECSV.

    Parameters
    ----------
    path : Path
        The file.
    models : sequence of TimeSeriesModel
        See `light_curves`.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Raises
    ------
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """
    table = light_curves(models)
    with atomic_path(path, overwrite=overwrite) as unfinished:
        table.write(unfinished, format="ascii.ecsv", overwrite=True)


def write_scales(path: Path, models: Sequence[TimeSeriesModel], *, overwrite: bool = False) -> None:
    """Write the scales of all integrations and columns.

    Parameters
    ----------
    path : Path
        The file. For each region of each series it has the images SCALE, SCALE_ERR, CHI2 (n_integrations, n_columns),
        and REFERENCE (n_columns), the flux of a column for a scale of 1, with one EXTVER; REGION, SLTNAME and COLUMN,
        the number of the first column, counted from 0, are in their headers.
    models : sequence of TimeSeriesModel
        See `light_curves`.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Raises
    ------
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """
    with atomic_path(path, overwrite=overwrite) as unfinished:
        write_pieces(unfinished, _pieces(models))


def _pieces(models: Sequence[TimeSeriesModel]) -> Iterator[Piece]:
    from astropy.io import fits

    from pixtrace import __version__

    header = fits.PrimaryHDU().header
    header["PIXVERS"] = (__version__, "version of pixtrace")
    yield Piece(header, list)
    version = 0
    for model in models:
        for region, found in model.regions.items():
            version += 1
            planes = {
                "SCALE": found.scales,
                "SCALE_ERR": found.errors,
                "CHI2": found.chi2,
                "REFERENCE": found.reference,
            }
            for name, plane in planes.items():
                piece = array_piece(name, version, plane)
                piece.header["REGION"] = (region, "number of the slice or slit")
                piece.header["SLTNAME"] = (model.mean.name, "name of the image")
                piece.header["COLUMN"] = (int(found.columns[0]), "first column, counted from 0")
                yield piece
