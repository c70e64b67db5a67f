"""JWST files as others than the pipeline leave them: rewritten, packed, padded, with parts shared."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.exceptions import DataError, FileReadError
from pixtrace.io import inspect
from pixtrace.io.jwst import JwstExposure
from pixtrace.io.jwst.container import read_container
from tests.jwst_models import nirspec_slits, write_case
from tests.jwst_product import make_product
from tests.untyped import asdf, datamodels, fits


@pytest.fixture(scope="module")
def mrs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small MRS exposure."""
    path = tmp_path_factory.mktemp("exposures") / "mrs_cal.fits"
    write_case("mrs", path)
    return path


def write_with_tree(source: Path, target: Path, *, table: Any = None, **options: Any) -> None:
    """Write a file anew with its tree written by asdf, in a table made by `table`."""
    with fits.open(source) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asdf alone does not find the planes; their nodes pass through
        packed = io.BytesIO()
        with asdf.open(io.BytesIO(hdus["ASDF"].data.tobytes()), lazy_load=False, memmap=False) as file:
            file.write_to(packed, **options)
        content = np.frombuffer(packed.getvalue(), dtype=np.uint8)
        if table is None:
            column = fits.Column(array=content[np.newaxis], format=f"{content.size}B", name="ASDF_METADATA")
            tree = fits.BinTableHDU.from_columns([column], name="ASDF")
        else:
            tree = table(content)
        fits.HDUList([*hdus[:-1], tree]).writeto(target)


def table_with_shape(content: Any) -> Any:
    """Return the table that astropy makes of a structured array: with TDIM1."""
    array = np.zeros(1, dtype=[("ASDF_METADATA", np.uint8, (content.size,))])
    array["ASDF_METADATA"] = content
    return fits.BinTableHDU(array, name="ASDF")


def assert_wcs_refined(source: Path, product: Path, factor: float) -> None:
    """Check that the WCS of the product is that of the source, with finer pixels along x."""
    with datamodels.open(source) as old, datamodels.open(product) as new:
        new.validate()
        assert new.data.shape == (120, int(70 * factor))
        y, x = (grid.astype(float) for grid in np.mgrid[4:119:9, 1:139:7])
        native = (x + 0.5) / factor - 0.5
        np.testing.assert_allclose(new.meta.wcs(x, y), old.meta.wcs(native, y), rtol=1e-13)


@pytest.mark.parametrize(
    "options",
    [
        {"all_array_compression": "zlib"},
        {"all_array_compression": "bzp2"},
        {"all_array_storage": "inline"},
        {"pad_blocks": True},
        {"include_block_index": False},
        {"table": table_with_shape},
    ],
    ids="-".join,
)
def test_trees_written_in_other_ways(mrs: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    write_with_tree(mrs, tmp_path / "in_cal.fits", **options)
    make_product(tmp_path / "in_cal.fits", tmp_path / "product.fits", 2.0)
    assert_wcs_refined(mrs, tmp_path / "product.fits", 2.0)


def test_slits_that_share_a_wcs(tmp_path: Path) -> None:
    model = nirspec_slits(fluxes=("MJy", "MJy"))
    model.slits[1].meta.wcs = model.slits[0].meta.wcs
    model.save(tmp_path / "in_cal.fits")
    make_product(tmp_path / "in_cal.fits", tmp_path / "product.fits", 2.0)
    with datamodels.open(tmp_path / "in_cal.fits") as old, datamodels.open(tmp_path / "product.fits") as new:
        for before, after in zip(old.slits, new.slits, strict=True):
            assert after.meta.wcs.available_frames == ["coordinates", *before.meta.wcs.available_frames]
            np.testing.assert_allclose(after.meta.wcs(20.0, 20.5), before.meta.wcs(20.0, 10.0), rtol=1e-14)


def test_checksums_are_right_or_absent(mrs: Path, tmp_path: Path) -> None:
    with fits.open(mrs) as hdus:
        hdus.writeto(tmp_path / "in_cal.fits", checksum=True)
    for factor in (1.0, 2.0):
        make_product(tmp_path / "in_cal.fits", tmp_path / f"{factor}.fits", factor)
        with fits.open(tmp_path / f"{factor}.fits", checksum=True) as hdus:  # a wrong one is a warning, so an error
            assert [hdu.name for hdu in hdus][-1] == "ASDF"


def test_images_packed_by_fpack_are_refused(mrs: Path, tmp_path: Path) -> None:
    with fits.open(mrs) as hdus:
        sci = fits.CompImageHDU(np.nan_to_num(hdus["SCI"].data), name="SCI")
        fits.HDUList([hdus[0], sci, *hdus[2:]]).writeto(tmp_path / "in_cal.fits")
    with pytest.raises(FileReadError, match=r"in_cal\.fits: extension SCI,1 is a table; expected an image: .*funpack"):
        JwstExposure.open(tmp_path / "in_cal.fits")


def test_planes_of_other_precision_are_taken_as_the_datamodel_takes_them(mrs: Path, tmp_path: Path) -> None:
    """As float32, from which knots and coefficients follow."""
    with fits.open(mrs) as hdus:
        double = [fits.ImageHDU(hdus[name].data.astype(np.float64), name=name) for name in ("SCI", "ERR")]
        fits.HDUList([hdus[0], *double, *(h for h in hdus[1:] if h.name not in {"SCI", "ERR"})]).writeto(
            tmp_path / "in_cal.fits"
        )
    make_product(mrs, tmp_path / "a.fits", 2.0)
    make_product(tmp_path / "in_cal.fits", tmp_path / "b.fits", 2.0)
    with fits.open(tmp_path / "a.fits") as expected, fits.open(tmp_path / "b.fits") as found:
        for name in ("SCI", "ERR", "DQ", "TRACEMODEL", "VAR_POISSON"):
            np.testing.assert_array_equal(found[name].data, expected[name].data, err_msg=name)


@pytest.mark.parametrize("shape", [(100,), (1, 1, 30, 90)])
def test_flux_that_is_no_image(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write_case("slit", tmp_path / "slit_cal.fits")
    with fits.open(tmp_path / "slit_cal.fits") as hdus:
        sci = fits.ImageHDU(np.zeros(shape, dtype=np.float32), name="SCI")
        fits.HDUList([hdus[0], sci, *hdus[2:]]).writeto(tmp_path / "in_cal.fits")
    with pytest.raises(DataError, match=rf"in_cal\.fits, extension SCI,1 has shape \({shape[0]},.*; expected rows"):
        JwstExposure.open(tmp_path / "in_cal.fits")


def test_blank_integers_are_missing(tmp_path: Path) -> None:
    image = fits.ImageHDU(np.array([[1, -9], [3, 4]], dtype=np.int16), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(tmp_path / "x.fits")
    with fits.open(tmp_path / "x.fits", mode="update", do_not_scale_image_data=True) as hdus:
        hdus["SCI"].header.update(BSCALE=0.5, BZERO=10.0, BLANK=-9)
    unit = read_container(tmp_path / "x.fits").require("SCI", why="")
    np.testing.assert_array_equal(unit.array(), [[10.5, np.nan], [11.5, 12.0]])


def test_inspect_and_oversample_agree_on_products(mrs: Path, tmp_path: Path) -> None:
    """What has a trace only can be oversampled, what has been oversampled cannot; and the factor is recorded once."""
    files = make_product(mrs, tmp_path / "trace.fits", 1.0, intermediate=True)
    assert "it has no WCS" in inspect(files[1]).problem
    assert inspect(tmp_path / "trace.fits").problem == ""
    make_product(tmp_path / "trace.fits", tmp_path / "fine.fits", 2.0)
    assert inspect(tmp_path / "fine.fits").oversampled == 2.0
    with datamodels.open(tmp_path / "fine.fits") as model:
        cards = [card for card in model.extra_fits.PRIMARY.header if card[0] == "PIXFACT"]
        assert [card[1] for card in cards] == [2.0]


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_inspect_reads_the_factor_from_the_wcs_of_a_product_of_jwst(mrs: Path, tmp_path: Path, factor: float) -> None:
    """The headers of jwst's own products do not tell the factor."""
    make_product(mrs, tmp_path / "product.fits", factor)
    with fits.open(tmp_path / "product.fits", mode="update") as hdus:
        del hdus[0].header["PIXFACT"]
    info = inspect(tmp_path / "product.fits")
    assert (info.oversampled, bool(info.problem)) == ((None, False) if factor == 1 else (2.0, True))
