"""Trace models: which spline describes which column, how bright, and where it is valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, cast

from pixtrace import _native
from pixtrace._arrays import as_count, as_double, as_floating, as_labels
from pixtrace._providers import provider
from pixtrace.trace.record import RecordTable, RegionRecord
from pixtrace.trace.region_trace import ColumnTrace, RegionTrace, Table

if TYPE_CHECKING:
    import os

    import numpy.typing as npt

    from pixtrace.trace.bspline import BSpline
    from pixtrace.trace.evaluate import EvaluatedModel
    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.oversample import OversampledFlux, TraceImage

__all__ = ["ColumnTrace", "RegionTrace", "TraceModel"]


class ModelFiles(Protocol):
    """What a model asks of files; `pixtrace._providers` names who provides it."""

    def save_model(self, path: str | os.PathLike[str], model: TraceModel, *, overwrite: bool = False) -> object:
        """Write a model."""
        ...

    def load_model(self, path: str | os.PathLike[str]) -> TraceModel:
        """Read a model."""
        ...


def _files() -> ModelFiles:
    return cast("ModelFiles", provider("model_files"))


class TraceModel(Mapping[int, RegionTrace]):
    """Trace models of the regions of one exposure: region label to `RegionTrace`, by rising label.

    Made by `fit_all_regions`. A region that was too faint to be fitted is there, and empty.

    Attributes
    ----------
    native : pixtrace._native.TraceModel
        The model as the core holds it.
    spline_models : Mapping of int to Mapping of int to BSpline
        Spline by region and column.
    spline_scales : Mapping of int to Mapping of int to float
        Scale by region and column.
    spline_bounds : Mapping of int to Mapping of int to tuple of float
        Valid range of alpha by region and column.
    """

    def __init__(self, native: _native.TraceModel) -> None:
        self.native = native
        self._labels = dict.fromkeys(native.labels())
        self._regions: dict[int, RegionTrace] = {}

    def __getitem__(self, region: int) -> RegionTrace:
        """Return the trace of a region."""
        if region not in self._labels:
            raise KeyError(region)
        label = int(region)
        if label not in self._regions:
            # Of several threads that come here at once, all get the same object.
            self._regions.setdefault(label, RegionTrace(self.native.table(label)))
        return self._regions[label]

    def __iter__(self) -> Iterator[int]:
        return iter(self._labels)

    def __len__(self) -> int:
        return len(self._labels)

    @cached_property
    def n_columns(self) -> int:
        """Number of columns that have a trace, over all regions."""
        return sum(len(region) for region in self.values())

    @cached_property
    def n_fits(self) -> int:
        """Number of distinct splines, over all regions."""
        return sum(region.n_fits for region in self.values())

    @cached_property
    def has_record(self) -> bool:
        """Whether all fits have left a record (see `record`); True also for a model without any trace."""
        return all(self.native.n_components(label) is not None for label, trace in self.items() if len(trace))

    @property
    def spline_models(self) -> Mapping[int, Mapping[int, BSpline]]:
        """Spline by region and column."""
        return {label: region.models for label, region in self.items()}

    @property
    def spline_scales(self) -> Mapping[int, Mapping[int, float]]:
        """Scale by region and column."""
        return {label: region.scales for label, region in self.items()}

    @property
    def spline_bounds(self) -> Mapping[int, Mapping[int, tuple[float, float]]]:
        """Valid range of alpha by region and column."""
        return {label: region.bounds for label, region in self.items()}

    def oversample(
        self,
        flux: npt.ArrayLike,
        alpha: npt.ArrayLike,
        region_map: npt.ArrayLike,
        oversample_factor: float,
        alpha_os: npt.ArrayLike,
        *,
        require_ngood: int = 10,
        slope_limit: float = 0.1,
        psf_optimal: bool = False,
        trim_ends: bool = False,
        pad: float = 3,
    ) -> OversampledFlux:
        """Oversample a flux image with this model, each spline within its own bounds.

        Parameters and result are those of `pixtrace.trace.oversample_flux`.
        """
        from pixtrace.trace.oversample import oversample_planes

        return oversample_planes(
            self,
            flux,
            alpha,
            region_map,
            oversample_factor,
            alpha_os,
            require_ngood=require_ngood,
            slope_limit=slope_limit,
            psf_optimal=psf_optimal,
            trim_ends=trim_ends,
            pad=pad,
        )

    def trace_image(
        self, region_map: npt.ArrayLike, alpha: npt.ArrayLike, *, slope_limit: float = 0.1, pad: float = 3
    ) -> TraceImage:
        """Evaluate this model on the detector's own pixels; see `pixtrace.trace.trace_image`."""
        from pixtrace.trace.oversample import trace_image

        return trace_image(self, region_map, alpha, slope_limit=slope_limit, pad=pad)

    def evaluate(
        self,
        alpha: npt.ArrayLike,
        region: npt.ArrayLike,
        column: npt.ArrayLike | None = None,
        *,
        image: SpectralImage | None = None,
        n_threads: int | None = None,
    ) -> EvaluatedModel:
        """Evaluate this model at any points, or on any grid.

        Parameters
        ----------
        alpha : array_like
            Coordinate along the slice.
        region : array_like of int
            Region of each point; one number for all, or a map of regions.
        column : array_like of int, optional
            Column of each point. None numbers them along the last axis of `alpha`, as on an image. The three are
            broadcast against each other.
        image : SpectralImage, optional
            The exposure that the model was fitted or scaled to, for the variance: that of spline and scale where the
            fit has left a record (see `record`), otherwise that of the scale alone.
        n_threads : int, optional
            Number of threads; the result does not depend on it.

        Returns
        -------
        EvaluatedModel
            Flux and variance. NaN where `alpha` is, beyond the bounds of a column's spline, and where there is no such
            region or column.

        Raises
        ------
        ShapeError, DtypeError, ParameterError
            The points do not fit together, or are no numbers.
        DataError
            The record of the fit is one of other data.
        """
        from pixtrace.trace.evaluate import evaluate

        return evaluate(self.native, alpha, region, column, image=image, n_threads=n_threads)

    def record(self, region: int) -> RegionRecord | None:
        """Return what the fit of a region has recorded of itself: provenance, quality and covariance by column.

        Parameters
        ----------
        region : int
            A region of this model.

        Returns
        -------
        RegionRecord or None
            None if the fit was made without a record, or the region has no trace.
        """
        if region not in self._labels:
            raise KeyError(region)
        return RegionRecord.of(self.native, int(region))

    def rescaled(
        self,
        flux: npt.ArrayLike,
        alpha: npt.ArrayLike,
        region_map: npt.ArrayLike,
        *,
        error: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> TraceModel:
        """Return the same splines, scaled to the flux of another exposure.

        Parameters
        ----------
        flux, alpha : array_like, shape (n_y, n_x)
            Flux, and coordinate along the slice; NaN where data are missing.
        region_map : array_like of int, shape (n_y, n_x)
            Number of the slice or slit of each pixel.
        error : array_like, shape (n_y, n_x), optional
            Standard deviation of the flux. With it, splines of a weighted fit are scaled by weighted least squares; all
            others are scaled as in the reference, by the pixels that are bright in the model.
        n_threads : int, optional
            Number of threads; the result does not depend on it.

        Returns
        -------
        TraceModel
            Without the regions that `region_map` does not have, and without columns in which no flux is finite. What
            the fits have recorded stays (see `record`), so that errors hold those of the profile: its noise is that of
            the exposure which was fitted, and has nothing in common with that of this one.

        Raises
        ------
        ShapeError, DtypeError, ParameterError
            As in `pixtrace.trace.fit_all_regions`.
        """
        native_flux = as_floating(flux, "flux")
        return TraceModel(
            _native.rescale(
                self.native,
                native_flux,
                None if error is None else as_floating(error, "error", dtype=native_flux.dtype),
                as_double(alpha, "alpha"),
                as_labels(region_map, "region_map"),
                n_threads=None if n_threads is None else as_count(n_threads, "n_threads", least=1),
            )
        )

    def tables(self) -> dict[int, Table]:
        """Return all numbers of the model, in arrays, by region.

        Returns
        -------
        dict of int to tuple of ndarray
            Columns (int64), number of the spline of each (int64), scale, bounds (n, 2); number of knots of each spline
            (int64), knots and coefficients of all splines, one after another. `from_tables` takes them back.
        """
        return {label: self.native.table(label) for label in self._labels}

    def records(self) -> dict[int, RecordTable]:
        """Return what the fits have recorded of themselves, in arrays, for the regions that have a record.

        Returns
        -------
        dict of int to tuple
            For `from_tables`; to look at a record use `record`.
        """
        found = {label: self.native.record(label) for label in self._labels}
        return {label: record for label, record in found.items() if record is not None}

    @classmethod
    def from_tables(
        cls,
        tables: Mapping[int, tuple[npt.NDArray[Any], ...]],
        records: Mapping[int, RecordTable] | None = None,
    ) -> TraceModel:
        """Return the model whose `tables` these are.

        Parameters
        ----------
        tables : mapping of int to tuple of ndarray
            See `tables`.
        records : mapping of int to tuple, optional
            See `records`.

        Returns
        -------
        TraceModel
            The model.

        Raises
        ------
        ShapeError, DataError
            The arrays do not fit together, or do not make splines.
        """
        native = _native.TraceModel.from_tables({label: cast("Table", table) for label, table in tables.items()})
        return cls(native.with_records(records) if records else native)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the model to a file, exact to the bit.

        Parameters
        ----------
        path : path-like
            ``.asdf`` (extra ``asdf``), ``.fits`` or ``.fits.gz``.
        overwrite : bool, optional
            Whether a file that is there already may be replaced.

        Raises
        ------
        ParameterError
            The suffix names no format.
        MissingExtraError
            ASDF is asked for and not installed.
        OutputExistsError, OutputError
            It cannot be written.
        """
        _files().save_model(path, self, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TraceModel:
        """Read a model from a file.

        Parameters
        ----------
        path : path-like
            What `save` or ``pixtrace fit`` has written.

        Returns
        -------
        TraceModel
            The model, bit for bit.

        Raises
        ------
        FileReadError
            It cannot be read, is damaged, or holds no model.
        DataError
            It holds several models; `pixtrace.io.load_models` reads them all.
        MissingExtraError
            It is an ASDF file, and asdf is not installed.
        """
        return _files().load_model(path)

    def __reduce__(self) -> tuple[Callable[..., TraceModel], tuple[dict[int, Table], dict[int, RecordTable]]]:
        return TraceModel.from_tables, (self.tables(), self.records())

    def __repr__(self) -> str:
        return f"<TraceModel: {len(self)} regions, {self.n_columns} columns, {self.n_fits} fits>"
