"""Exposures for jwst's own tests that need no server.

Its tests make them with `assign_wcs`, whose reference files come from CRDS. Here the WCS is that of the reference
exposure (MIRI MRS) or one of `tests.jwst_models`; flux, errors and everything else are filled in as the tests want it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from tests import jwst_models
from tests.reference import EXPOSURE, reference_root
from tests.untyped import datamodels

_helpers: Any = import_module("jwst.adaptive_trace_model.tests.helpers")
_SLIT_SHAPE = (60, 200)
_MRS_WIDTH = 18.0
_PLANES = ("var_poisson", "var_rnoise", "var_flat")


def _flat(part: Any, *, error: float | None = 0.01, variances: tuple[str, ...] = _PLANES) -> None:
    """Fill an exposure with ones, an error, no flags and no variance."""
    shape = part.data.shape
    part.data = np.ones(shape, dtype=np.float32)
    part.err = np.full(shape, 0.0 if error is None else error, dtype=np.float32)
    part.dq = np.zeros(shape, dtype=np.uint32)
    for name in _PLANES:
        if name in variances:
            setattr(part, name, np.zeros(shape, dtype=np.float32))
        elif part.hasattr(name):
            delattr(part, name)


def miri_mrs_model() -> Any:
    """Return a flat MRS exposure with the WCS of the reference exposure, its slices cut to a width.

    In the tests one slice of all is to rise above the threshold, which the clipped scatter decides, and so the share of
    pixels without signal.
    """
    with datamodels.open(reference_root() / EXPOSURE) as source:
        model = source.copy()
    labels = model.meta.wcs.get_transform("detector", "alpha_beta").label_mapper.mapper
    x = np.arange(labels.shape[1], dtype=float)
    for label in np.unique(labels[labels > 0]):
        inside = labels == label
        middle = (inside * x).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
        labels[inside & (np.abs(x - middle[:, np.newaxis]) > _MRS_WIDTH / 2)] = 0
        labels[(labels == label) & (inside.sum(axis=1, keepdims=True) < _MRS_WIDTH)] = 0  # where it runs off the edge
    _flat(model)
    model.meta.filename = None
    return model


def nirspec_ifu_model(wcs_style: str = "coordinates") -> Any:
    """Return a flat IFU exposure; with a WCS that takes the number of the slice, if that is asked for."""
    model = jwst_models.nirspec_ifu() if wcs_style == "coordinates" else jwst_models.nirspec_ifu_by_slit()
    _flat(model, variances=("var_poisson", "var_rnoise"))
    model.pathloss_point = np.zeros(model.data.shape, dtype=np.float32)
    return model


def nirspec_slit_model() -> Any:
    """Return flat slits."""
    model = jwst_models.nirspec_slits(shape=_SLIT_SHAPE)
    for slit in model.slits:
        _flat(slit, variances=("var_poisson", "var_rnoise"))
        slit.meta.photometry.pixelarea_steradians = slit.meta.photometry.pixelarea_arcsecsq = 1.0
    return model


def nirspec_mos_model_with_source() -> Any:
    """Return slitlets with a source in each."""
    model = jwst_models.nirspec_slits("NRS_MSASPEC", ["MJy", "MJy"], shape=_SLIT_SHAPE)
    for slit in model.slits:
        _flat(slit, variances=("var_poisson", "var_rnoise"))
        slit.data *= 0
        _helpers._add_source(slit, np.isfinite(slit.wavelength).astype(int))
    return model


def _lrs(exp_type: str, n_integrations: int, error: float) -> Any:
    model = jwst_models.miri_lrs(exp_type, n_integrations)
    shape = model.data.shape
    _flat(model, error=error, variances=("var_poisson", "var_rnoise"))
    model.data = np.full(shape, np.nan, dtype=np.float32)
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    _helpers._add_source(model, np.isfinite(model.meta.wcs(x, y)[2]).astype(int), along_x=False)
    return model


def miri_lrs_slit_model_with_source() -> Any:
    """Return an LRS slit with a source."""
    return _lrs("MIR_LRS-FIXEDSLIT", 0, 0.01)


def miri_lrs_slitless_model_with_source() -> Any:
    """Return a time series without a slit, with a source."""
    return _lrs("MIR_LRS-SLITLESS", 5, 0.0)


def install() -> None:
    """Put these in the places of what makes the exposures of jwst's tests."""
    for function in (
        miri_mrs_model,
        nirspec_ifu_model,
        nirspec_slit_model,
        nirspec_mos_model_with_source,
        miri_lrs_slit_model_with_source,
        miri_lrs_slitless_model_with_source,
    ):
        assert hasattr(_helpers, function.__name__), function.__name__
        setattr(_helpers, function.__name__, function)
