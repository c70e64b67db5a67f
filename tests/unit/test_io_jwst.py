"""JWST exposures: what is read, what is written, and that the WCS of the product is that of its pixels."""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.exceptions import OutputExistsError, ParameterError
from pixtrace.io import oversample_exposure
from pixtrace.io.exposure import Exposure
from pixtrace.io.jwst import JwstExposure
from pixtrace.trace import TraceParams
from tests.jwst_models import miri_mrs, nirspec_ifu, nirspec_ifu_by_slit, nirspec_slits, write_case
from tests.jwst_product import make_product, make_results
from tests.untyped import datamodels, fits, fits_support


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one exposure of each kind."""
    path = tmp_path_factory.mktemp("exposures")
    for name in ("mrs", "ifu_nrs1", "fixed_slits", "slit", "slit_series", "lrs", "lrs_series"):
        write_case(name, path / f"{name}_cal.fits")
    return path


def planes_of(path: Path) -> dict[tuple[str, int], Any]:
    """Return all images of a file."""
    with fits.open(path) as hdus:
        return {(h.name, h.ver): np.array(h.data) for h in hdus[1:] if h.is_image}


def digest(path: Path) -> str:
    """Return a hash of the content of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "kind", "preset", "labels", "flipped"),
    [
        ("mrs", "jwst-ifu", "miri-mrs", (101, 102), True),
        ("ifu_nrs1", "jwst-ifu", "nirspec-ifu", tuple(range(1, 31)), False),
        ("fixed_slits", "jwst-multislit", "nirspec-slit", (1,), False),
        ("slit", "jwst-slit", "nirspec-slit-nrs2", (1,), False),
        ("lrs", "jwst-slit", "miri-lrs-slit", (1,), True),
        ("lrs_series", "jwst-slit", "miri-lrs-slitless", (1,), True),
    ],
)
def test_what_is_read(
    folder: Path, name: str, kind: str, preset: str, labels: tuple[int, ...], *, flipped: bool
) -> None:
    with JwstExposure.open(folder / f"{name}_cal.fits") as exposure:
        assert isinstance(exposure, Exposure)
        assert (exposure.kind, exposure.params.preset_name) == (kind, preset)
        assert exposure.name == f"{name}_cal.fits"
        assert exposure.output_name(2.0) == f"{name}_adaptive_trace_model.fits"
        for image in exposure.images:
            assert image.regions == labels
            assert image.flipped is flipped
            inside = image.region_map > 0
            assert np.isfinite(image.alpha[inside]).all()
            assert np.isnan(image.alpha[~inside]).all()
            assert image.flux.dtype == np.float32
            assert image.flux.flags.c_contiguous


def test_preset_is_overridable(folder: Path) -> None:
    assert JwstExposure.open(folder / "mrs_cal.fits", preset="generic").params.preset_name == "generic"
    with pytest.raises(ParameterError, match="no preset"):
        JwstExposure.open(folder / "mrs_cal.fits", preset="best")


def test_images_are_turned_so_that_slices_lie_along_axis_0(folder: Path) -> None:
    planes = planes_of(folder / "mrs_cal.fits")
    (image,) = JwstExposure.open(folder / "mrs_cal.fits").images
    np.testing.assert_array_equal(image.flux, np.rot90(planes["SCI", 1]))
    np.testing.assert_array_equal(image.dq, np.rot90(planes["DQ", 1]))
    assert set(image.variances) == {"var_poisson", "var_rnoise", "var_flat"}


def test_slits_have_names_and_units(folder: Path) -> None:
    images = JwstExposure.open(folder / "fixed_slits_cal.fits").images
    assert [image.name for image in images] == ["S1", "S2"]
    assert [image.flux_is_density for image in images] == [False, True]


def test_time_series_is_its_median(folder: Path) -> None:
    planes = planes_of(folder / "slit_series_cal.fits")
    with JwstExposure.open(folder / "slit_series_cal.fits") as exposure:
        assert exposure.n_integrations == 3
        np.testing.assert_array_equal(exposure.images[0].flux, np.median(planes["SCI", 1], axis=0))
        with pytest.raises(ParameterError, match="time series"):
            exposure.alpha_os(0, 2.0)


@pytest.mark.parametrize("name", ["mrs", "ifu_nrs1", "slit", "lrs"])
@pytest.mark.parametrize("factor", [2.0, 1.3, 2.7])
def test_grid_and_wcs_agree(folder: Path, tmp_path: Path, name: str, factor: float) -> None:
    with JwstExposure.open(folder / f"{name}_cal.fits") as exposure:
        results = make_results(exposure, factor)
        exposure.save(results, tmp_path / "product.fits")
        alpha = exposure.alpha_os(0, factor)
        native = exposure.images[0].alpha
    if name in {"mrs", "lrs"}:
        alpha = np.rot90(alpha, -1)
    with datamodels.open(tmp_path / "product.fits") as model:
        wcs = model.meta.wcs
        assert wcs.available_frames[0] == "coordinates"
        frame = {"mrs": "alpha_beta", "lrs": "alpha_beta", "ifu_nrs1": "slicer", "slit": "slit_frame"}[name]
        y, x = (grid.astype(float) for grid in np.mgrid[: alpha.shape[0], : alpha.shape[1]])
        inside = np.isfinite(alpha)
        found = wcs.get_transform("coordinates", frame)(x[inside], y[inside])
        sign, place = {"mrs": (1, 0), "lrs": (1, 0), "ifu_nrs1": (-1, 1), "slit": (-1, 1)}[name]
        # exactly between two native pixels the label mapper may pick the other one; those lie outside the slices
        seen = np.isfinite(found[place])
        assert seen.mean() > 0.97
        step = np.nanmedian(np.abs(np.diff(native, axis=0)))
        assert np.max(np.abs(sign * found[place] - alpha[inside])[seen]) < 1e-9 * step
        wavelength = np.array(model.wavelength)[inside][seen]
        world = wcs(x[inside][seen], y[inside][seen], with_bounding_box=False)[2]
        np.testing.assert_allclose(wavelength, world, rtol=1e-7)


@pytest.mark.parametrize("name", ["mrs", "ifu_nrs1", "fixed_slits"])
def test_covariances_are_extensions(folder: Path, tmp_path: Path, name: str) -> None:
    with JwstExposure.open(folder / f"{name}_cal.fits") as exposure:
        robust = TraceParams.robust().replace(n_covariances=2)
        results = oversample_exposure(exposure, 2.0, robust)
        files = exposure.save(results, tmp_path / "product.fits")
    assert files == [tmp_path / "product.fits"]
    planes = planes_of(files[0])
    for version, result in enumerate(results, start=1):
        for rows, made in enumerate(result.covariances, start=1):
            found = planes[f"COVAR_{rows}", version]
            assert found.shape == planes["SCI", version].shape
            if name == "mrs":
                # Turned; and as in any file, it is the covariance with the next pixel, whose place is one more.
                np.testing.assert_array_equal(found[:, :-rows], np.rot90(made, -1)[:, rows:])
                assert np.isnan(found[:, -rows:]).all()
            else:
                np.testing.assert_array_equal(found, made)
            assert np.isfinite(found).mean() > 0.5 * np.isfinite(planes["SCI", version]).mean()
    with datamodels.open(files[0]) as model:
        model.validate()
        if name != "fixed_slits":
            np.testing.assert_array_equal(model.extra_fits.COVAR_2.data, planes["COVAR_2", 1])
        model.save(tmp_path / "again.fits")
    if name != "fixed_slits":
        np.testing.assert_array_equal(planes_of(tmp_path / "again.fits")["COVAR_2", 1], planes["COVAR_2", 1])


@pytest.mark.parametrize("factor", [2.0, 1.3])
def test_bounding_boxes_hold_the_same_pixels(folder: Path, tmp_path: Path, factor: float) -> None:
    make_product(folder / "lrs_cal.fits", tmp_path / "product.fits", factor)
    with datamodels.open(folder / "lrs_cal.fits") as old, datamodels.open(tmp_path / "product.fits") as new:
        (x_low, x_high), y_limits = old.meta.wcs.bounding_box.bounding_box(order="F")
        fine, y_fine = new.meta.wcs.bounding_box.bounding_box(order="F")
        np.testing.assert_allclose((np.array(fine) + 0.5) / factor - 0.5, [x_low, x_high], atol=1e-12)
        assert y_fine == y_limits


@pytest.mark.parametrize("name", ["mrs", "fixed_slits", "slit_series"])
def test_factor_1_adds_the_trace_alone(folder: Path, tmp_path: Path, name: str) -> None:
    source = folder / f"{name}_cal.fits"
    make_product(source, tmp_path / "product.fits", 1.0)
    old, new = planes_of(source), planes_of(tmp_path / "product.fits")
    assert {key for key in new if key not in old} == {("TRACEMODEL", version) for _, version in old if _ == "SCI"}
    for key, plane in old.items():
        np.testing.assert_array_equal(new[key], plane, err_msg=str(key))
    assert fits.getheader(tmp_path / "product.fits")["S_TRCMOD"] == "COMPLETE"
    # and what has a trace only can still be oversampled
    make_product(tmp_path / "product.fits", tmp_path / "again.fits", 1.0)
    np.testing.assert_array_equal(planes_of(tmp_path / "again.fits")["TRACEMODEL", 1], new["TRACEMODEL", 1])


def test_native_arrays_do_not_stay(folder: Path, tmp_path: Path) -> None:
    make_product(folder / "fixed_slits_cal.fits", tmp_path / "product.fits", 2.0)
    new = planes_of(tmp_path / "product.fits")
    assert {name for name, _ in new} == {
        *("SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT", "WAVELENGTH", "TRACEMODEL")
    }
    with datamodels.open(tmp_path / "product.fits") as model:
        for slit in model.slits:
            assert not slit.hasattr("area")
            assert not slit.hasattr("barshadow")
            assert slit.meta.photometry.pixelarea_arcsecsq == 0.02


def test_extensions_of_unknown_kind_are_carried_along_or_dropped(folder: Path, tmp_path: Path) -> None:
    with fits.open(folder / "mrs_cal.fits") as hdus:
        table = fits.BinTableHDU.from_columns([fits.Column("T", "D", array=np.arange(5.0))], name="INT_TIMES")
        native = fits.ImageHDU(np.ones(hdus["SCI"].shape, dtype=np.float32), name="MYPLANE")
        other = fits.ImageHDU(np.ones((3, 4), dtype=np.int16), name="MYIMAGE")
        fits.HDUList([*hdus[:-1], table, native, other, hdus[-1]]).writeto(tmp_path / "in_cal.fits")
    make_product(tmp_path / "in_cal.fits", tmp_path / "product.fits", 2.0)
    with fits.open(tmp_path / "product.fits") as hdus:
        names = [hdu.name for hdu in hdus]
        assert "MYPLANE" not in names
        assert names[-1] == "ASDF"
        np.testing.assert_array_equal(hdus["INT_TIMES"].data["T"], np.arange(5.0))
        np.testing.assert_array_equal(hdus["MYIMAGE"].data, np.ones((3, 4)))
    with datamodels.open(tmp_path / "product.fits") as model:
        assert model.data.shape[1] == 140


def test_headers_and_tree_say_the_same(folder: Path, tmp_path: Path) -> None:
    make_product(folder / "fixed_slits_cal.fits", tmp_path / "product.fits", 2.0)
    with fits.open(tmp_path / "product.fits") as hdus:
        hdus.verify("exception")
        expected = fits_support.fits_hash(hdus)
        assert hdus[0].header["FILENAME"] == "product.fits"
        assert hdus[0].header["PIXFACT"] == 2.0
        assert hdus["SCI", 2].header["PIXAR_SR"] == 5e-13
        hdus["ASDF"].header["EXTNAME"] = "OTHER"  # then stdatamodels has the headers alone
        hdus.writeto(tmp_path / "headers.fits")
    with datamodels.open(tmp_path / "product.fits") as by_tree:
        assert by_tree._asdf.tree["_fits_hash"] == expected  # the tree is trusted as it is
        assert by_tree.extra_fits.PRIMARY.header[-1][:2] == ["PIXFACT", 2.0]
        with datamodels.MultiSlitModel(tmp_path / "headers.fits") as by_header:
            trees = [m.to_flat_dict(include_arrays=False) for m in (by_tree, by_header)]
    for key in trees[1]:
        if (
            not key.startswith(("extra_fits", "history", "asdf_library"))
            and "date" not in key
            and "model_type" not in key
        ):
            assert trees[0].get(key) == trees[1][key], key


def test_names_longer_than_a_card(folder: Path, tmp_path: Path) -> None:
    name = f"jw{'0' * 90}_adaptive_trace_model.fits"
    make_product(folder / "lrs_cal.fits", tmp_path / name, 1.0)
    assert fits.getheader(tmp_path / name)["FILENAME"] == name


def test_saving_again_starts_from_the_input(folder: Path, tmp_path: Path) -> None:
    with JwstExposure.open(folder / "ifu_nrs1_cal.fits") as exposure:
        for factor, name in ((3.0, "a"), (2.0, "b"), (2.0, "c")):
            exposure.save(make_results(exposure, factor), tmp_path / f"{name}.fits")
    make_product(folder / "ifu_nrs1_cal.fits", tmp_path / "d.fits", 2.0)
    for name in ("c", "d"):
        diff = fits.FITSDiff(
            str(tmp_path / "b.fits"),
            str(tmp_path / f"{name}.fits"),
            ignore_keywords=["DATE", "FILENAME"],
            ignore_hdus=["ASDF"],
        )
        assert diff.identical, diff.report()
    boxes = []
    for name in ("b", "d"):
        with datamodels.open(tmp_path / f"{name}.fits") as model:
            boxes.append(model.meta.wcs.pipeline[1].transform.selector[3].bounding_box.bounding_box(order="F"))
    assert boxes[0] == boxes[1]


def test_intermediate_results_are_files_of_their_own(folder: Path, tmp_path: Path) -> None:
    source = folder / "fixed_slits_cal.fits"
    with JwstExposure.open(source) as exposure:
        results = make_results(exposure, 2.0, intermediate=True)
        files = exposure.save(results, tmp_path / exposure.output_name(2.0), intermediate=True)
    assert [path.name for path in files] == [
        "fixed_slits_adaptive_trace_model.fits",
        "fixed_slits_spline_full.fits",
        "fixed_slits_spline_used.fits",
        "fixed_slits_linear_interp.fits",
        "fixed_slits_spline_residual.fits",
    ]
    attributes = (None, "full_trace", "trace_used", "linear_flux", "residual_flux")
    for path, attribute in zip(files[1:], attributes[1:], strict=True):
        with datamodels.open(path) as model:
            assert type(model) is datamodels.MultiSlitModel
            model.validate()
            for slit, result in zip(model.slits, results, strict=True):
                np.testing.assert_array_equal(slit.data, getattr(result, str(attribute)))
        assert "S_TRCMOD" not in fits.getheader(path)
        with fits.open(path) as hdus:
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "SCI", "ASDF"]


def test_intermediate_results_of_a_trace(folder: Path, tmp_path: Path) -> None:
    files = make_product(folder / "mrs_cal.fits", tmp_path / "x.fits", 1.0, intermediate=True)
    assert [path.name for path in files] == ["x.fits", "x_spline_full.fits", "x_spline_used.fits"]
    with datamodels.open(files[1]) as model:
        assert model.data.shape == (120, 70)


def test_skipped(folder: Path, tmp_path: Path) -> None:
    with JwstExposure.open(folder / "mrs_cal.fits") as exposure:
        exposure.save_skipped(tmp_path / "out.fits")
    with datamodels.open(folder / "mrs_cal.fits") as old, datamodels.open(tmp_path / "out.fits") as new:
        assert new.meta.cal_step.adaptive_trace_model == "SKIPPED"
        assert new.meta.wcs.available_frames == old.meta.wcs.available_frames
    old_planes, new_planes = planes_of(folder / "mrs_cal.fits"), planes_of(tmp_path / "out.fits")
    assert old_planes.keys() == new_planes.keys()
    for key, plane in old_planes.items():
        np.testing.assert_array_equal(new_planes[key], plane)


def test_gzipped_input_is_read_alike_and_no_input_is_touched(folder: Path, tmp_path: Path) -> None:
    source = folder / "mrs_cal.fits"
    before = digest(source)
    packed = tmp_path / "mrs_cal.fits.gz"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    make_product(source, tmp_path / "a.fits", 2.0)
    make_product(packed, tmp_path / "b.fits", 2.0)
    assert JwstExposure.open(packed).output_name(2.0) == "mrs_adaptive_trace_model.fits"
    a, b = planes_of(tmp_path / "a.fits"), planes_of(tmp_path / "b.fits")
    for key, plane in a.items():
        np.testing.assert_array_equal(plane, b[key])
    assert digest(source) == before


def test_nothing_is_overwritten_unasked(folder: Path, tmp_path: Path) -> None:
    with JwstExposure.open(folder / "lrs_cal.fits") as exposure:
        results = make_results(exposure, 1.0, intermediate=True)
        (tmp_path / "x_spline_full.fits").write_text("mine")
        with pytest.raises(OutputExistsError, match="x_spline_full"):
            exposure.save(results, tmp_path / "x.fits", intermediate=True)
        assert [path.name for path in tmp_path.iterdir()] == ["x_spline_full.fits"]
        exposure.save(results, tmp_path / "x.fits", intermediate=True, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 3


def test_an_exposure_can_replace_itself(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "mrs_cal.fits"
    path.write_bytes((folder / "mrs_cal.fits").read_bytes())
    with JwstExposure.open(path) as exposure:
        exposure.save(make_results(exposure, 2.0), path, overwrite=True)
    assert planes_of(path)["SCI", 1].shape == (120, 140)


def test_ifu_with_slit_numbers_in_its_wcs_gives_the_same(folder: Path, tmp_path: Path) -> None:
    nirspec_ifu_by_slit().save(tmp_path / "by_slit_cal.fits")
    make_product(folder / "ifu_nrs1_cal.fits", tmp_path / "a.fits", 2.0)
    make_product(tmp_path / "by_slit_cal.fits", tmp_path / "b.fits", 2.0)
    a, b = planes_of(tmp_path / "a.fits"), planes_of(tmp_path / "b.fits")
    for key, plane in a.items():
        if plane.dtype.kind == "f":
            np.testing.assert_allclose(b[key], plane, rtol=1e-4, atol=1e-4, err_msg=str(key))
    with datamodels.open(tmp_path / "b.fits") as model:
        wcs = model.meta.wcs
        assert wcs.available_frames[:2] == ["coordinates", "detector"]
        row, column = (int(k[0]) for k in np.nonzero(b["REGIONS", 1] == 3))
        assert np.isfinite(wcs(float(column), float(row), 2)[:3]).all()
        with datamodels.open(tmp_path / "by_slit_cal.fits") as old:
            native, fine = (w.bounding_box[2].bounding_box(order="F")[1] for w in (old.meta.wcs, wcs))
        assert fine == (native[0] * 2 + 0.5, native[1] * 2 + 0.5)


def test_slice_map_of_the_wcs_serves_where_there_are_no_regions(tmp_path: Path) -> None:
    model = nirspec_ifu()
    regions = np.array(model.regions)
    model.regions = None
    model.save(tmp_path / "in_cal.fits")
    (image,) = JwstExposure.open(tmp_path / "in_cal.fits").images
    np.testing.assert_array_equal(image.region_map, regions)


def test_mrs_of_other_transforms_goes_through_gwcs(tmp_path: Path) -> None:
    found = []
    for polynomial in (True, False):
        miri_mrs(polynomial=polynomial).save(tmp_path / "in_cal.fits")
        exposure = JwstExposure.open(tmp_path / "in_cal.fits")
        found.append((exposure.images[0], exposure.alpha_os(0, 1.5)))
        make_product(tmp_path / "in_cal.fits", tmp_path / f"{polynomial}.fits", 1.5)
    np.testing.assert_array_equal(found[0][0].region_map, found[1][0].region_map)
    np.testing.assert_allclose(found[0][0].alpha, found[1][0].alpha, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-12, atol=1e-13)
    waves = [planes_of(tmp_path / f"{polynomial}.fits")["WAVELENGTH", 1] for polynomial in (True, False)]
    np.testing.assert_allclose(waves[0], waves[1], rtol=1e-6)


def test_rows_outside_the_common_wavelengths_keep_their_negative_numbers(folder: Path, tmp_path: Path) -> None:
    make_product(folder / "mrs_cal.fits", tmp_path / "product.fits", 2.0)
    planes = planes_of(tmp_path / "product.fits")
    assert planes["REGIONS", 1].min() == -102
    assert np.isnan(planes["SCI", 1][planes["REGIONS", 1] <= 0]).all()


def test_flux_density_is_divided_among_the_parts_of_a_pixel(tmp_path: Path) -> None:
    """Surface brightness stays, flux density is divided: full trace, linear image and residual too."""
    results = {}
    for unit in ("MJy/sr", "MJy"):
        nirspec_slits(fluxes=[unit]).save(tmp_path / "in_cal.fits")
        results[unit] = make_results(JwstExposure.open(tmp_path / "in_cal.fits"), 2.0, intermediate=True)[0]
    for plane in ("flux", "error", "trace_used", "full_trace", "linear_flux", "residual_flux"):
        np.testing.assert_allclose(
            getattr(results["MJy"], plane), getattr(results["MJy/sr"], plane) / 2, rtol=1e-6, err_msg=plane
        )
