"""Small JWST exposures of every kind, with a WCS laid out as the pipeline lays it out.

They stand for the modes of which there is no reference file. The sky is simulated and the optics are polynomials, but
frames, transforms, bounding boxes, label maps and extensions are those of real products, so that jwst's own step takes
the same files (`tests/parity/record_jwst_modes.py`). Fluxes are rounded to 1/1024: the same numbers on any machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tests.untyped import bounding_box, cf, coordinates, gwcs, modeling, selector, transforms, units
from tests.untyped import datamodels as dm
from tests.untyped import models as m

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Plane = npt.NDArray[Any]

#: What the tests of the modes are made with: a function of this module, its arguments, and an oversampling factor.
CASES: dict[str, tuple[str, dict[str, Any], float]] = {
    "ifu_nrs1": ("nirspec_ifu", {}, 2.0),
    "ifu_prism_nrs2": ("nirspec_ifu", {"detector": "NRS2", "grating": "PRISM"}, 1.0),
    "fixed_slits": ("nirspec_slits", {}, 2.0),
    "slitlets": ("nirspec_slits", {"exp_type": "NRS_MSASPEC", "fluxes": ["MJy"]}, 3.0),
    "slit": ("nirspec_slit", {}, 2.5),
    "slit_series": ("nirspec_slit", {"n_integrations": 3}, 1.0),
    "lrs": ("miri_lrs", {}, 2.0),
    "lrs_slitless": ("miri_lrs", {"exp_type": "MIR_LRS-SLITLESS"}, 2.0),
    "lrs_series": ("miri_lrs", {"exp_type": "MIR_LRS-SLITLESS", "n_integrations": 2}, 1.0),
    "mrs": ("miri_mrs", {}, 2.0),
}

N_SLICES = 30  # jwst expects as many in a NIRSpec IFU exposure
IFU_SHAPE = (N_SLICES * 16 + 8, 64)
SLIT_SHAPE = (30, 90)
_TILT = 0.0317  # rows per column: no two columns are sampled alike
_BOW = 7.3e-5  # rows per column squared
_PLANES = ("var_poisson", "var_rnoise", "var_flat")


# -- frames


def _pixels(name: str) -> Any:
    return cf.Frame2D(name=name, axes_order=(0, 1))


def _spectral(name: str, axes: tuple[str, str]) -> Any:
    space = cf.Frame2D(name=f"{name}_spatial", axes_order=(0, 1), unit=("", ""), axes_names=axes)
    wave = cf.SpectralFrame(name=f"{name}_spectral", axes_order=(2,), unit=(units.micron,), axes_names=("wavelength",))
    return cf.CompositeFrame([space, wave], name=name)


def _world() -> Any:
    sky = cf.CelestialFrame(name="sky", axes_order=(0, 1), reference_frame=coordinates.ICRS())
    wave = cf.SpectralFrame(name="spectral", axes_order=(2,), unit=(units.micron,), axes_names=("wavelength",))
    return cf.CompositeFrame([sky, wave], name="world")


def _to_sky(scale_x: float, scale_y: float, to_micron: float) -> Any:
    """From two spatial coordinates and a wavelength to the sky."""
    forward = m.Polynomial1D(1, c0=165.0, c1=scale_x) & m.Polynomial1D(1, c0=54.0, c1=scale_y) & m.Scale(to_micron)
    forward.inverse = (
        m.Polynomial1D(1, c0=-165.0 / scale_x, c1=1 / scale_x)
        & m.Polynomial1D(1, c0=-54.0 / scale_y, c1=1 / scale_y)
        & m.Scale(1 / to_micron)
    )
    return forward


def _to_slit(centre: float, scale: float, across: float = 0.0) -> Any:
    """From pixels to the coordinates of a slit that runs along y: (across, along, wavelength in metres)."""
    bow = {"c0_0": -scale * centre, "c1_0": -scale * _TILT, "c2_0": -scale * _BOW, "c0_1": scale}
    forward = m.Mapping((0, 0, 1, 0), n_inputs=2) | (
        m.Const1D(across) & m.Polynomial2D(2, **bow) & m.Polynomial1D(1, c0=1e-6, c1=5e-10)
    )
    to_x = m.Polynomial1D(1, c0=-2000.0, c1=2e9)
    shape = m.Polynomial2D(2, c0_0=centre, c1_0=_TILT, c2_0=_BOW, c0_1=1 / scale)
    forward.inverse = m.Mapping((2, 2, 1), n_inputs=3) | to_x & (to_x & m.Identity(1) | shape)
    return forward


# -- what is seen


def _scene(rows: Plane, bright: float, seed: int) -> tuple[Plane, Plane, Plane]:
    """Return flux, error and bad pixels of a star in the middle of a slit; `rows` counts from there."""
    rng = np.random.default_rng(seed)
    flux = bright * np.exp(-0.5 * ((rows - 0.37) / 0.6) ** 2) + 1.0
    error = np.sqrt(0.02 * flux + 0.0025)
    flux = flux + error * rng.standard_normal(flux.shape)
    return np.round(flux * 1024) / 1024, np.round(error * 1024) / 1024, rng.random(flux.shape) < 0.01


def _fill(model: Any, flux: Plane, error: Plane, bad: Plane, unit: str = "MJy/sr", n_integrations: int = 0) -> None:
    """Put planes into a model."""
    flux, error = (np.where(bad, np.nan, plane).astype(np.float32) for plane in (flux, error))
    dq: Plane = bad.astype(np.uint32)
    if n_integrations:
        flux = np.stack([flux * np.float32(1 + 0.125 * i) for i in range(n_integrations)])
        error, dq = np.stack([error] * n_integrations), np.stack([dq] * n_integrations)
    model.data, model.err, model.dq = flux, error, dq
    for name, share in zip(_PLANES, (0.5, 0.25, 0.25), strict=True):
        setattr(model, name, (error**2 * np.float32(share)).astype(np.float32))
    model.meta.bunit_data = model.meta.bunit_err = unit
    model.meta.photometry.pixelarea_steradians = 1e-12
    model.meta.photometry.pixelarea_arcsecsq = 0.04


def _describe(model: Any, exp_type: str, detector: str, grating: str | None = None) -> None:
    """Fill in what identifies an exposure."""
    instrument = "NIRSPEC" if exp_type.startswith("NRS") else "MIRI"
    model.meta.telescope = "JWST"
    model.meta.instrument.name, model.meta.instrument.detector = instrument, detector
    model.meta.instrument.grating = grating
    model.meta.exposure.type, model.meta.exposure.exposure_time = exp_type, 300.0
    model.meta.exposure.start_time, model.meta.exposure.end_time = 60341.375, 60341.378
    model.meta.observation.date, model.meta.observation.time = "2024-02-01", "08:59:37"
    model.meta.target.source_type, model.meta.target.ra, model.meta.target.dec = "POINT", 165.0, 54.0
    if not isinstance(model, dm.MultiSlitModel):  # there it belongs to the slits
        model.meta.wcsinfo.dispersion_direction = 1 if instrument == "NIRSPEC" else 2
        model.meta.wcsinfo.s_region = "POLYGON ICRS  165.0 54.0 165.001 54.0 165.001 54.001 165.0 54.001"
    model.meta.cal_step.assign_wcs = "COMPLETE"


# -- exposures


def write_case(name: str, path: Path) -> float:
    """Write the exposure of one of `CASES` and return its oversampling factor."""
    function, arguments, factor = CASES[name]
    model = globals()[function](**arguments)
    model.save(path)
    model.close()
    return factor


def nirspec_ifu(detector: str = "NRS1", grating: str = "G140M") -> Any:
    """NIRSpec IFU: thirty slices, the WCS with a frame of image coordinates in front, as assign_wcs makes it now."""
    y, x = np.mgrid[: IFU_SHAPE[0], : IFU_SHAPE[1]].astype(float)
    regions = np.zeros(IFU_SHAPE, dtype=np.int32)
    flux, error, bad = np.zeros(IFU_SHAPE), np.full(IFU_SHAPE, 0.05), np.zeros(IFU_SHAPE, dtype=bool)
    by_slice, slices = {}, {}
    for k in range(N_SLICES):
        centre = 9.0 + 16 * k
        rows = y - centre - _TILT * x - _BOW * x**2
        inside = np.abs(rows) < 6.5
        regions[inside] = k + 1
        for plane, values in zip((flux, error, bad), _scene(rows, 100.0 if k == 2 else 0.0, k), strict=True):
            plane[inside] = values[inside]
        transform = _to_slit(centre, 4e-4, across=k * 1e-4)
        transform.inputs, transform.outputs = ("x", "y"), ("x_slice", "y_slice", "lam")
        row, column = np.nonzero(inside)
        box = (column.min() - 0.5, column.max() + 0.5), (row.min() - 0.5, row.max() + 0.5)
        modeling.bind_bounding_box(transform, box, order="F")
        by_slice[k + 1] = transform
        slices[round(k * 1e-4, 5)] = m.Mapping((0,), n_inputs=3) | m.Const1D(k + 1)
    mapper = selector.LabelMapperArray(regions)
    mapper.inverse = selector.LabelMapperDict(
        ("x_slice", "y_slice", "lam"), slices, inputs_mapping=m.Mapping((0,), n_inputs=3), atol=1e-4
    )
    to_slicer = selector.RegionsSelector(
        ("x", "y"), ("x_slice", "y_slice", "lam"), label_mapper=mapper, selector=by_slice, name="det2slicer"
    )
    to_slicer.inputs, to_slicer.outputs = ("x", "y"), ("x_slice", "y_slice", "lam")
    first = m.Identity(2, name="coord2det")
    first.inputs = first.outputs = ("x", "y")
    model = dm.IFUImageModel(IFU_SHAPE)
    _describe(model, "NRS_IFU", detector, grating)
    _fill(model, flux, error, bad)
    model.regions = regions
    model.meta.wcs = gwcs.WCS(
        [
            (_pixels("coordinates"), first),
            (_pixels("detector"), to_slicer),
            (_spectral("slicer", ("x_slicer", "y_slicer")), _to_sky(0.1, 0.1, 1e6)),
            (_world(), None),
        ]
    )
    return model


def nirspec_ifu_by_slit() -> Any:
    """NIRSpec IFU, with the number of the slit as an input of the WCS, as assign_wcs makes it on request."""
    model = nirspec_ifu()
    to_sca = (m.Shift(0.0) & m.Shift(0.0) | m.Identity(2)) & m.Identity(1)
    to_sca.inputs = to_sca.outputs = ("x", "y", "name")
    to_gwa = m.Mapping((2, 0, 1, 1))
    to_gwa.inverse = m.Mapping((1, 2, 0), n_inputs=4)
    to_gwa.inputs, to_gwa.outputs = ("x", "y", "name"), ("name", "angle1", "angle2", "angle3")
    to_slit, to_slicer, boxes = [], [], {}
    for k in range(N_SLICES):
        inner = _to_slit(9.0 + 16 * k, 1 / 13)
        outer = m.Mapping((0, 1), n_inputs=3) | inner
        outer.inverse = inner.inverse | m.Mapping((0, 1, 1))
        to_slit.append(outer)
        place = m.Shift(k * 1e-4) & m.Scale(13 * 4e-4)
        place.inverse = m.Shift(-k * 1e-4) & m.Scale(1 / (13 * 4e-4))
        to_slicer.append(place)
        row, column = np.nonzero(model.regions == k + 1)
        boxes[k] = (column.min() - 0.5, column.max() + 0.5), (row.min() - 0.5, row.max() + 0.5)
    swap = m.Mapping((0, 1, 3, 2))
    swap.inverse = m.Mapping((0, 1, 3, 2))
    slit_to_slicer = transforms.Slit2Msa(list(range(N_SLICES)), to_slicer) & m.Identity(1) | swap
    slit_to_slicer.inputs = ("name", "x_slit", "y_slit", "lam")
    slit_to_slicer.outputs = ("x_slice", "y_slice", "lam", "name")
    to_world = _to_sky(0.1, 0.1, 1e6) & m.Identity(1)
    to_world.inputs, to_world.outputs = ("x", "y", "lam", "name"), ("ra", "dec", "lam", "name")
    gwa_to_slit = transforms.Gwa2Slit(list(range(N_SLICES)), to_slit)
    for transform, name in ((to_sca, "dms2sca"), (to_gwa, "det2gwa"), (gwa_to_slit, "gwa2slit")):
        transform.name = name
    slit_to_slicer.name = "slit2slicer"
    wcs = gwcs.WCS(
        [
            (_pixels("detector"), to_sca),
            (_pixels("sca"), to_gwa),
            (_pixels("gwa"), gwa_to_slit),
            (_spectral("slit_frame", ("x_slit", "y_slit")), slit_to_slicer),
            (_spectral("slicer", ("x_slicer", "y_slicer")), to_world),
            (_world(), None),
        ]
    )
    forward = wcs.forward_transform
    forward.inputs = ("x", "y", "name")
    wcs.bounding_box = bounding_box.CompoundBoundingBox.validate(
        forward, boxes, selector_args=[("name", True)], order="F"
    )
    model.meta.wcs = wcs
    return model


def _nirspec_slit(seed: int, unit: str, n_integrations: int = 0, shape: tuple[int, int] = SLIT_SHAPE) -> Any:
    """One slit as extract_2d cuts it out, with the arrays that the later steps add."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    centre = 0.5 * shape[0] - 1.7
    slit = dm.SlitModel()
    _fill(slit, *_scene(y - centre - _TILT * x - _BOW * x**2, 80.0, seed), unit=unit, n_integrations=n_integrations)
    wcs = gwcs.WCS(
        [
            (_pixels("detector"), _to_slit(centre, 1 / 24)),
            (_spectral("slit_frame", ("x_slit", "y_slit")), _to_sky(1e-4, 1e-4, 1e6)),
            (_world(), None),
        ]
    )
    wcs.bounding_box = ((-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5))
    slit.meta.wcs = wcs
    slit.meta.wcsinfo.dispersion_direction = 1
    slit.wavelength = wcs(x, y)[2].astype(np.float32)
    for name in ("area", "pathloss_point", "flatfield_point", "barshadow"):
        setattr(slit, name, np.ones(shape, dtype=np.float32))
    slit.name, slit.slitlet_id, slit.source_type = f"S{seed}", seed, "POINT"
    slit.xstart, slit.xsize, slit.ystart, slit.ysize = 1, shape[1], 1, shape[0]
    return slit


def nirspec_slits(
    exp_type: str = "NRS_FIXEDSLIT", fluxes: Sequence[str] = ("MJy/sr", "MJy"), shape: tuple[int, int] = SLIT_SHAPE
) -> Any:
    """NIRSpec fixed slits or slitlets: a surface brightness in the first, a flux density in the second."""
    model = dm.MultiSlitModel()
    _describe(model, exp_type, "NRS1", "G140M")
    for k, unit in enumerate(fluxes):
        model.slits.append(_nirspec_slit(k + 1, unit, shape=(shape[0] + 4 * k, shape[1])))
    return model


def nirspec_slit(exp_type: str = "NRS_BRIGHTOBJ", n_integrations: int = 0) -> Any:
    """Return a single NIRSpec slit, or a time series of it."""
    model = _nirspec_slit(1, "MJy/sr", n_integrations=n_integrations)
    _describe(model, exp_type, "NRS2", "G395H")
    return model


def miri_lrs(exp_type: str = "MIR_LRS-FIXEDSLIT", n_integrations: int = 0, model: Any = None) -> Any:
    """MIRI LRS: the slit along x, its bounding box smaller than the image."""
    n_y, n_x = 90, 80
    y, x = np.mgrid[:n_y, :n_x].astype(float)
    model = dm.SlitModel() if model is None else model
    along = {"c0_0": -0.11 * 40.3, "c1_0": 0.11, "c0_1": 0.11 * _TILT / 3}
    forward = m.Mapping((0, 1, 0, 1), n_inputs=2) | (
        (m.Mapping((0, 1)) | m.Polynomial2D(1, **along))
        & (m.Mapping((0, 1)) | m.Mapping((1,), n_inputs=2) | m.Polynomial1D(1, c0=12.0, c1=-0.02))
        | m.Mapping((0, 0, 1))
        | m.Identity(1) & m.Const1D(0.0) & m.Identity(1)
    )
    to_y = m.Polynomial1D(1, c0=600.0, c1=-50.0)
    to_x = m.Polynomial2D(1, c0_0=40.3, c1_0=1 / 0.11, c0_1=-_TILT / 3)
    forward.inverse = m.Mapping((0, 2, 2), n_inputs=3) | (m.Identity(1) & to_y | to_x) & to_y
    modeling.bind_bounding_box(forward, ((7.5, 72.5), (4.5, 84.5)), order="F")
    _describe(model, exp_type, "MIRIMAGE")
    _fill(model, *_scene(x - 40.3 + _TILT / 3 * y, 90.0, 5), n_integrations=n_integrations)
    model.meta.wcs = gwcs.WCS(
        [
            (_pixels("detector"), forward),
            (_spectral("alpha_beta", ("alpha", "beta")), _to_sky(1 / 3600, 1 / 3600, 1.0)),
            (_world(), None),
        ]
    )
    return model


def miri_mrs(*, polynomial: bool = True) -> Any:
    """MIRI MRS: two slices along x; with `polynomial` false a transform is in them that only gwcs can evaluate."""
    n_y, n_x = 120, 70
    y, x = np.mgrid[:n_y, :n_x].astype(float)
    labels = np.zeros((n_y, n_x), dtype=np.int64)
    flux, error, bad = np.zeros((n_y, n_x)), np.full((n_y, n_x), 0.05), np.zeros((n_y, n_x), dtype=bool)
    by_slice = {}
    for k, label in enumerate((101, 102)):
        centre = 18.0 + 34 * k
        rows = x - centre - _TILT * y / 3
        inside = np.abs(rows) < 14.5
        labels[inside] = label
        for plane, values in zip((flux, error, bad), _scene(rows, 60.0 * (1 - k), label), strict=True):
            plane[inside] = values[inside]
        alpha = m.Polynomial2D(2, c0_0=0.002, c1_0=-0.13 * _TILT / 3, c0_1=0.13, c1_1=1e-6, c2_0=2e-7, name="det2local")
        wave = m.Polynomial2D(2, c0_0=4.9, c1_0=0.008, c0_1=1e-4, c2_0=-1e-6, name="det2local")
        shift = m.Identity(1) & m.Shift(-centre)
        last = m.Identity(1) * m.Const1D(1.00002, name="velocity_correction")
        if not polynomial:
            last = last | m.Exponential1D(1.0, 1.0) | m.Logarithmic1D(1.0, 1.0)
        by_slice[label] = m.Mapping((1, 0, 0, 1, 0)) | (
            (shift | alpha) & m.Const1D(0.17 * k, name="det2local") & (shift.copy() | wave | last)
        )
    labels[:2][labels[:2] > 0] *= -1  # rows outside the range of wavelengths common to all slices
    to_local = selector.RegionsSelector(
        ("x", "y"),
        ("alpha", "beta", "lam"),
        label_mapper=selector.LabelMapperArray(labels),
        selector=by_slice,
        name="detector_to_abl",
    )
    modeling.bind_bounding_box(to_local, ((-0.5, n_x - 0.5), (-0.5, n_y - 0.5)), order="F")
    model = dm.IFUImageModel((n_y, n_x))
    _describe(model, "MIR_MRS", "MIRIFUSHORT")
    model.meta.instrument.channel, model.meta.instrument.band = "12", "SHORT"
    _fill(model, flux, error, bad)
    model.meta.wcs = gwcs.WCS(
        [
            (_pixels("detector"), to_local),
            (_spectral("alpha_beta", ("alpha", "beta")), _to_sky(1 / 3600, 1 / 3600, 1.0)),
            (_world(), None),
        ]
    )
    return model
