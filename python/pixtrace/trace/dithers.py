"""Joint fits: several exposures of one source share one profile, each with its own offset and scales."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from pixtrace import _native
from pixtrace._arrays import as_count, as_double, as_flag, as_floating, as_real, check_callable
from pixtrace.exceptions import DataError, ParameterError, ShapeError
from pixtrace.trace.across import Across, Places, across
from pixtrace.trace.image import SpectralImage
from pixtrace.trace.model import TraceModel
from pixtrace.trace.params import TraceParams
from pixtrace.trace.result import FittedImage
from pixtrace.trace.robust import HALF_WINDOWS, KNOTS_PER_PIXEL
from pixtrace.trace.thresholds import Thresholds, prepared_flux

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

__all__ = ["DitherFit", "DitherGroup", "OffsetsBy", "fit_dithers"]

OffsetsBy: TypeAlias = Literal["exposure", "channel", "region"]

#: What the core calls them.
_GROUPINGS = {"exposure": "all", "channel": "hundreds", "region": "each"}
#: Half-widths of the window, and knot spacings per pixel, that are chosen from where exposures share a profile.
_JOINT_HALF_WINDOWS = (1, 2, *HALF_WINDOWS)
_JOINT_KNOTS_PER_PIXEL = (*KNOTS_PER_PIXEL, 4.0, 6.0)
_CLIP_SIGMA = 5.0
#: Labels of one channel of MIRI MRS.
_LABELS_PER_CHANNEL = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class DitherGroup:
    """Regions with the same offsets, and which exposures share their profiles.

    Attributes
    ----------
    regions : tuple of int
        The regions, ascending, by their numbers in the first exposure.
    offsets : ndarray of float64, shape (n_exposures,)
        Where the source stands along the slices, less where the shared profile does [unit of alpha]. Their mean is
        zero, or that of the offsets given; NaN if they were to be found, and the exposure shares no profile.
    covariance : ndarray of float64, shape (n_exposures, n_exposures)
        Covariance of the offsets. What moves all of them together cannot be known and is not in it. Zero if the offsets
        were given and not refined, NaN on the diagonal where the offset is.
    shared : mapping of int to tuple of tuple of int
        By region, the sets of exposures (from 0) that share a profile; absent are regions that no two exposures share.
    n_steps : int
        Steps of the last search for the offsets.
    slices : tuple of int
        By exposure, how many slices farther on the source stands than in the first: what the first shows in region 10,
        and an exposure in which it has moved by two in region 12, are fitted together.
    """

    regions: tuple[int, ...]
    offsets: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    shared: Mapping[int, tuple[tuple[int, ...], ...]]
    n_steps: int
    slices: tuple[int, ...]

    @property
    def errors(self) -> npt.NDArray[np.float64]:
        """Standard deviations of the offsets, from their mean.

        Returns
        -------
        ndarray of float64, shape (n_exposures,)
            In the unit of alpha.
        """
        errors: npt.NDArray[np.float64] = np.sqrt(np.diagonal(self.covariance))
        return errors

    def between(self, first: int, second: int) -> tuple[float, float]:
        """Return how far the source has moved from one exposure to another.

        Parameters
        ----------
        first, second : int
            The exposures.

        Returns
        -------
        offset, error : float
            Offset of `second` less that of `first`, and its standard deviation [unit of alpha].

        Raises
        ------
        ParameterError
            There is no such exposure.
        """
        n = len(self.offsets)
        i, j = as_count(first, "first", most=n - 1), as_count(second, "second", most=n - 1)
        variance = self.covariance[i, i] + self.covariance[j, j] - 2 * self.covariance[i, j]
        return float(self.offsets[j] - self.offsets[i]), math.sqrt(max(variance, 0.0))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DitherFit:
    """What came of a joint fit.

    Attributes
    ----------
    fitted : tuple of FittedImage
        One for each exposure, in their order, for ``oversample_image(image, factor, params, fitted=...)``. The models
        are ordinary ones: shared splines shifted to where the source of the exposure stands, with its own scales.
    groups : tuple of DitherGroup
        The offsets: one group, unless they differ by channel or region.
    """

    fitted: tuple[FittedImage, ...]
    groups: tuple[DitherGroup, ...]

    @property
    def models(self) -> tuple[TraceModel, ...]:
        """The models alone.

        Returns
        -------
        tuple of TraceModel
            One for each exposure.
        """
        return tuple(fitted.model for fitted in self.fitted)

    @property
    def offsets(self) -> npt.NDArray[np.float64]:
        """Offsets of the exposures, by group.

        Returns
        -------
        ndarray of float64, shape (n_groups, n_exposures)
            See `DitherGroup.offsets`.
        """
        return np.array([group.offsets for group in self.groups]).reshape(-1, len(self.fitted))

    @property
    def errors(self) -> npt.NDArray[np.float64]:
        """Standard deviations of `offsets`.

        Returns
        -------
        ndarray of float64, shape (n_groups, n_exposures)
            See `DitherGroup.errors`.
        """
        return np.array([group.errors for group in self.groups]).reshape(-1, len(self.fitted))

    @property
    def shared(self) -> dict[int, tuple[tuple[int, ...], ...]]:
        """The exposures that share a profile of a region, all groups together.

        Returns
        -------
        dict of int to tuple of tuple of int
            Region to sets of exposures, counted from 0.
        """
        return {region: sets for group in self.groups for region, sets in group.shared.items()}

    def __repr__(self) -> str:
        n_regions = sum(len(group.regions) for group in self.groups)
        offsets = "; ".join(", ".join(f"{offset:.4g}" for offset in group.offsets) for group in self.groups[:3])
        return (
            f"<DitherFit: {len(self.fitted)} exposures, {len(self.shared)} of {n_regions} regions shared; "
            f"offsets {offsets}{' ...' if len(self.groups) > 3 else ''}>"  # noqa: PLR2004 - enough to see
        )


def fit_dithers(
    images: Sequence[SpectralImage],
    params: TraceParams | None = None,
    *,
    offsets: npt.ArrayLike | None = None,
    refine: bool = True,
    offsets_by: OffsetsBy = "exposure",
    tolerance: float = 1.03,
    match_slices: bool = True,
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> DitherFit:
    """Fit several exposures of one source together: one profile for each window of a region, and an offset for each.

    The pixels of all exposures enter one weighted fit, at alpha less the offset of their exposure. Where the dithers
    fall between each other's pixels, the profile is sampled more finely, and windows and knots are chosen finer: by
    how well left-out columns are predicted. An exposure takes part in a region only if its own columns are predicted
    as well by the shared profile as by its own; otherwise, as where the slice shows another part of the source or none
    of it, it is fitted alone there.

    Parameters
    ----------
    images : sequence of SpectralImage
        The exposures: of the same detector and setting, so that the same columns have the same wavelengths. One alone
        is fitted as by `fit_image`.
    params : TraceParams, optional
        How; the method must be "robust". None takes `TraceParams.robust`.
    offsets : array_like of float, shape (n_exposures,), optional
        Where the source stands in each exposure [unit of alpha], from any zero point. None searches for them.
    refine : bool
        Whether the offsets given are a start for those that fit the data best; False takes them as they are.
    offsets_by : {"exposure", "channel", "region"}
        Whether an exposure has one offset, one for each channel (the regions whose numbers share their hundreds, as
        in MIRI MRS), or one for each region, which then needs a source in every region.
    tolerance : float
        An exposure keeps its own profile of a region if that predicts its left-out columns so many times better than
        the shared one, in squared errors and apart from chance; at least 1. Infinity: every exposure shares every
        region that it can be fitted in, for sources that look the same wherever they stand.
    match_slices : bool
        Whether slices are matched by the light that they show, where a dither has moved the source to others: those of
        a channel, or of all the detector, whose numbers must rise across the slices. Images with wavelengths are then
        matched by these, others by their columns. False, and ``offsets_by="region"``: slices are those of the
        same number.
    n_threads, progress : optional
        As in `pixtrace.trace.fit_image`; the result does not depend on them.

    Returns
    -------
    DitherFit
        Models, and offsets with errors.

    Raises
    ------
    ShapeError
        The exposures differ in shape, or there is not one offset for each.
    ParameterError
        There is no exposure, an offset is not finite, or a parameter makes no sense.
    DataError
        The exposures have no region in common, the data do not determine the offsets, or no two exposures show the same
        profile anywhere.

    Notes
    -----
    The offsets are those of the least-squares problem with profile and scales eliminated. Their errors are multiplied
    by the square root of the reduced chi2 of the pixels, or of that of the offsets that each region would have of its
    own, where the larger of the two exceeds one.
    """
    images = _checked(images)
    params = _checked_params(params)
    if offsets_by not in get_args(OffsetsBy):
        msg = f"offsets_by = {offsets_by!r}; it must be one of {', '.join(get_args(OffsetsBy))}"
        raise ParameterError(msg)
    check_callable(progress, "progress")
    start = perf_counter()
    dtype = np.result_type(*(image.flux.dtype for image in images))
    prepared = [prepared_flux(image) for image in images]
    variances = _variances(images, params)
    moves = _moves(images, [flux for flux, _ in prepared], offsets_by, is_wanted=as_flag(match_slices, "match_slices"))
    models, groups = _native.fit_joint(
        [
            (
                as_floating(flux, "flux", dtype=dtype),
                None if image.error is None else as_floating(image.error, "error", dtype=dtype),
                image.alpha,
                image.region_map,
                [as_floating(plane, "variance", dtype=dtype) for plane in of_one],
            )
            for image, (flux, _), of_one in zip(images, prepared, variances, strict=True)
        ],
        alone={
            "half_windows": list(HALF_WINDOWS),
            "knots_per_pixel": list(KNOTS_PER_PIXEL),
            "clip_sigma": _CLIP_SIGMA,
        },
        joint={
            "half_windows": list(_JOINT_HALF_WINDOWS),
            "knots_per_pixel": list(_JOINT_KNOTS_PER_PIXEL),
            "offsets": _offsets(offsets, len(images)),
            "refine": as_flag(refine, "refine"),
            "grouping": _GROUPINGS[offsets_by],
            "tolerance": as_real(tolerance, "tolerance"),
            "places": _joined([move.places for move in moves.values()], len(images)),
        },
        n_threads=None if n_threads is None else as_count(n_threads, "n_threads", least=1),
        progress=progress,
    )
    seconds = (perf_counter() - start) / len(images)
    return DitherFit(
        fitted=tuple(
            FittedImage(model=TraceModel(model), offset=offset, thresholds=Thresholds(None, None), seconds=seconds)
            for model, (_, offset) in zip(models, prepared, strict=True)
        ),
        groups=tuple(
            DitherGroup(
                regions=tuple(regions),
                offsets=np.array(found, dtype=np.float64),
                covariance=covariance,
                shared={region: tuple(map(tuple, sets)) for region, sets in shared.items()},
                n_steps=n_steps,
                slices=next((m.moved for r, m in moves.items() if set(r) & set(regions)), (0,) * len(images)),
            )
            for regions, found, covariance, n_steps, shared in groups
        ),
    )


def _checked_params(params: object) -> TraceParams:
    """Return the parameters, those of the preset for None, if exposures can be fitted together with them."""
    if params is None:
        return TraceParams.robust()
    if not isinstance(params, TraceParams):
        msg = f"`params` is a {type(params).__name__}; expected a TraceParams, such as TraceParams.robust()"
        raise ParameterError(msg)
    if params.method != "robust":
        msg = f"method = {params.method!r}; exposures are fitted together by the method 'robust': TraceParams.robust()"
        raise ParameterError(msg)
    return params


def _checked(images: object) -> list[SpectralImage]:
    """Return the exposures if they can be fitted together at all."""
    if isinstance(images, SpectralImage):
        msg = "`images` is one SpectralImage; expected several, in a list (fit_image fits one)"
        raise ParameterError(msg)
    if not isinstance(images, Iterable):
        msg = f"`images` is a {type(images).__name__}; expected a sequence of SpectralImage"
        raise ParameterError(msg)
    given: list[object] = list(images)
    if not given:
        msg = "`images` holds no exposure; expected at least one"
        raise ParameterError(msg)
    found: list[SpectralImage] = []
    for number, image in enumerate(given):
        if not isinstance(image, SpectralImage):
            msg = f"`images`[{number}] is a {type(image).__name__}; expected a SpectralImage"
            raise ParameterError(msg)
        found.append(image)
        if image.shape != found[0].shape:
            msg = (
                f"`images`[{number}], {image.label}, has shape {image.shape}; expected {found[0].shape}, that of the "
                "first: only exposures of the same detector and subarray can be fitted together"
            )
            raise ShapeError(msg)
    regions = [set(image.regions) for image in found]
    if len(found) > 1 and not any(a & b for i, a in enumerate(regions) for b in regions[:i]):
        msg = "the exposures have no region in common; fit together only exposures of the same mode"
        raise DataError(msg)
    return found


def _variances(images: list[SpectralImage], params: TraceParams) -> list[list[npt.NDArray[np.floating]]]:
    """Return the components of the variance that are to be propagated, in the same order for all exposures."""
    if params.errors != "propagated" or any(image.error is None for image in images):
        return [[] for _ in images]
    names = list(images[0].variances)
    for number, image in enumerate(images):
        if list(image.variances) != names:
            msg = (
                f"`images`[{number}], {image.label}, has the variances {', '.join(image.variances) or '(none)'}; "
                f"expected {', '.join(names) or '(none)'}, those of the first in the same order"
            )
            raise DataError(msg)
    return [list(image.variances.values()) for image in images]


def _moves(
    images: list[SpectralImage], fluxes: list[npt.NDArray[np.floating]], offsets_by: OffsetsBy, *, is_wanted: bool
) -> dict[tuple[int, ...], Across]:
    """Return how sources have moved across the slices, by the regions that lie side by side."""
    if offsets_by == "region" or not is_wanted:
        return {}
    groups: dict[int, list[int]] = {}
    for label in sorted({label for image in images for label in image.regions}):
        groups.setdefault(label // _LABELS_PER_CHANNEL if offsets_by == "channel" else 0, []).append(label)
    found = across(images, fluxes, list(groups.values()))
    return {tuple(labels): move for labels, move in zip(groups.values(), found, strict=True)}


def _joined(places: list[Places], n_exposures: int) -> Places:
    """Return the places of all groups together; no list if nothing has moved."""
    moved = [of_group for of_group in places if of_group]
    if not moved:
        return []
    return [{label: p for of_group in moved for label, p in of_group[e].items()} for e in range(n_exposures)]


def _offsets(offsets: npt.ArrayLike | None, n_exposures: int) -> list[float] | None:
    """Return the offsets given as numbers."""
    if offsets is None:
        return None
    values = as_double(offsets, "offsets", ndim=1)
    if len(values) != n_exposures:
        msg = f"`offsets` has {len(values)} elements; expected {n_exposures}, one for each exposure"
        raise ShapeError(msg)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        msg = f"`offsets`[{wrong[0]}] = {values[wrong[0]]}; it must be finite (None searches for all of them)"
        raise ParameterError(msg)
    return [float(value) for value in values]
