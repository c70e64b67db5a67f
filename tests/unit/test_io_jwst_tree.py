"""The ASDF tree as nodes, the FITS container, and the WCS of oversampled pixels in all versions of the format."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.io.jwst.container import read_container
from pixtrace.io.jwst.tree import AsdfTree
from pixtrace.io.jwst.units import is_flux_density
from pixtrace.io.jwst.wcs import bounding_box_of, oversample_wcs, oversampled_by, steps_of
from tests.untyped import asdf, cf, fits, gwcs, modeling
from tests.untyped import models as m


def small_wcs() -> Any:
    """Return a WCS of two frames with a bounding box."""
    transform = m.Polynomial2D(1, c0_0=1.0, c1_0=0.25, c0_1=0.01) & m.Scale(0.5)
    transform = m.Mapping((0, 1, 1)) | transform
    modeling.bind_bounding_box(transform, ((-0.5, 9.5), (1.5, 19.5)), order="F")
    first, last = (cf.Frame2D(name=name, axes_order=(0, 1)) for name in ("detector", "world"))
    wcs = gwcs.WCS([(first, transform), (last, None)])
    wcs.pixel_shape = (10, 21)
    return wcs


def tree_of(content: dict[str, Any], version: str | None = None) -> AsdfTree:
    """Return a tree made of objects."""
    buffer = io.BytesIO()
    asdf.AsdfFile(content, version=version).write_to(buffer)
    return AsdfTree(memoryview(buffer.getvalue()), "test")


def objects_of(tree: AsdfTree) -> Any:
    """Return the objects that asdf makes of a tree."""
    with asdf.open(io.BytesIO(b"".join(tree.to_bytes())), lazy_load=False, memmap=False) as file:
        return dict(file.tree)


# -- tree


def test_an_unchanged_tree_comes_back() -> None:
    rng = np.random.default_rng(1)
    content: dict[str, Any] = {
        "numbers": [1, 2.5, 1e-12, float("inf"), -3, 0.1 + 0.2],
        "texts": ["a", "1", "yes", "null", "é: {", "x" * 300, "two\nlines"],
        "none": None,
        "flags": [True, False],
        "arrays": [rng.standard_normal((3, 4)), np.arange(5, dtype=np.int16)],
        "wcs": small_wcs(),
    }
    found = objects_of(tree_of(content))
    for key in ("numbers", "texts", "none", "flags"):
        assert found[key] == content[key]
    for a, b in zip(found["arrays"], content["arrays"], strict=True):
        np.testing.assert_array_equal(a, b)
    assert found["wcs"](3.0, 4.0) == content["wcs"](3.0, 4.0)


def test_arrays_are_found_after_the_tree_has_grown() -> None:
    arrays = [np.full(1000, k, dtype=np.float64) for k in range(5)]
    tree = tree_of({"arrays": arrays})
    assert b"#ASDF BLOCK INDEX" in bytes(tree.content)
    tree.put_scalar("x" * 5000, "text")
    content = b"".join(tree.to_bytes())
    for readable in (content, content[: content.index(b"#ASDF BLOCK INDEX")]):
        with asdf.open(io.BytesIO(readable)) as file:
            for k in (4, 0):
                np.testing.assert_array_equal(file["arrays"][k], arrays[k])
    again = AsdfTree(memoryview(content), "test")
    for k in range(5):
        array = again.array(again.get("arrays", k))
        assert array is not None
        np.testing.assert_array_equal(array, arrays[k])


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<i8", ">i4", "u1"])
def test_arrays_of_any_type(dtype: str) -> None:
    values = np.arange(12).reshape(3, 4).astype(dtype)
    tree = tree_of({"array": values})
    found = tree.array(tree.get("array"))
    assert found is not None
    np.testing.assert_array_equal(found, values)


def test_arrays_that_are_not_plain_are_left_alone() -> None:
    buffer = io.BytesIO()
    file = asdf.AsdfFile({"packed": np.zeros(1000), "strided": np.zeros(20), "list": [1, 2]})
    file.set_array_compression(file["packed"], "zlib")
    file.write_to(buffer)
    tree = AsdfTree(memoryview(buffer.getvalue()), "test")
    tree.put(tree.get("strided"), "strides", tree.sequence([tree.scalar(16)]))
    for name in ("packed", "strided", "list", "nothing"):
        assert tree.array(tree.get(name)) is None


@pytest.mark.parametrize("value", [1.0, 5e-13, 1e22, -0.0, 1e-300, 123456789.123456789, float("nan"), float("-inf"), 7])
def test_numbers_are_written_to_the_last_digit(value: float) -> None:
    tree = tree_of({"x": 0})
    tree.put_scalar(value, "a", "b")
    found = objects_of(tree)["a"]["b"]
    assert type(found) is type(value)
    assert repr(found) == repr(value)
    assert repr(tree.number(tree.get("a", "b"))) == repr(float(value))


@pytest.mark.parametrize("value", ["plain", "12", "1e5", "yes", "~", "", "a: b", "# no", "é", " x "])
def test_texts_stay_texts(value: str) -> None:
    tree = tree_of({"x": 0})
    tree.put_scalar(value, "y")
    assert objects_of(tree)["y"] == value


def test_entries_keep_alphabetical_order() -> None:
    tree = tree_of({"top": {"b": 1, "d": 2}})
    for key in ("e", "c", "a", "d"):
        tree.put_scalar(9, "top", key)
    top = tree.get("top")
    assert [name for name, _ in tree.entries(top)] == ["a", "b", "c", "d", "e"]
    tree.remove(top, "c")
    assert tree.get("top", "c") is None
    assert tree.get("top", "b", "c", 3) is None


# -- WCS


@pytest.mark.parametrize("version", ["1.3.0", "1.4.0", "1.5.0", "1.6.0", None])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("factor", [2.0, 1.3])
def test_oversampled_wcs_in_all_versions(version: str | None, axis: int, factor: float) -> None:
    tree = tree_of({"wcs": small_wcs()}, version)
    node = tree.get("wcs")
    assert oversampled_by(tree, node) == 1
    box = [(-0.5, 9.5), (1.5, 19.5)]
    assert bounding_box_of(tree, steps_of(tree, node)[0].transform) == box
    oversample_wcs(tree, node, factor, axis)
    assert oversampled_by(tree, tree.get("wcs")) == pytest.approx(factor, rel=1e-15)
    old, new = small_wcs(), objects_of(tree)["wcs"]
    assert new.available_frames == ["coordinates", "detector", "world"]
    assert new.pixel_shape[axis] == math.ceil((10, 21)[axis] * factor)
    assert new.pixel_shape[1 - axis] == (10, 21)[1 - axis]
    fine = np.array([2.0, 5.0, 7.0])
    native = (fine + 0.5) / factor - 0.5
    other = np.full(3, 6.0)
    if axis == 0:
        expected, found = old(native, other), new(fine, other)
    else:
        expected, found = old(other, native), new(other, fine)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    limits = new.bounding_box.bounding_box(order="F")
    np.testing.assert_allclose((np.array(limits[axis]) + 0.5) / factor - 0.5, box[axis], atol=1e-12)
    assert limits[1 - axis] == box[1 - axis]
    inverse = new.invert(*found, with_bounding_box=False) if new.forward_transform.has_inverse() else None
    assert inverse is None or np.allclose(inverse[axis], fine)


def test_bounding_box_as_a_list() -> None:
    """The oldest files give y before x, and no names of inputs."""
    tree = tree_of({"wcs": small_wcs()})
    transform = steps_of(tree, tree.get("wcs"))[0].transform
    limits = [tree.sequence([tree.scalar(a), tree.scalar(b)]) for a, b in ((1.5, 19.5), (-0.5, 9.5))]
    tree.put(transform, "bounding_box", tree.sequence(limits))
    assert bounding_box_of(tree, transform) == [(-0.5, 9.5), (1.5, 19.5)]
    oversample_wcs(tree, tree.get("wcs"), 2.0, 0)
    assert bounding_box_of(tree, steps_of(tree, tree.get("wcs"))[0].transform) == [(-0.5, 19.5), (1.5, 19.5)]


def test_bounding_boxes_that_are_none() -> None:
    tree = tree_of({"wcs": small_wcs(), "x": [1, 2]})
    transform = steps_of(tree, tree.get("wcs"))[0].transform
    tree.remove(transform, "bounding_box")
    assert bounding_box_of(tree, transform) is None
    assert bounding_box_of(tree, None) is None
    assert steps_of(tree, tree.get("x")) == []
    assert oversampled_by(tree, tree.get("x")) == 1


# -- container


def test_container_reads_what_astropy_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    images = [
        rng.standard_normal((3, 5)).astype(np.float32),
        rng.standard_normal((2, 3, 4)),
        rng.integers(0, 2**32, (4, 4), dtype=np.uint32),
        rng.integers(0, 2**16, (4, 4), dtype=np.uint16),
        rng.integers(0, 256, 7, dtype=np.uint8),
        rng.integers(-(2**31), 2**31, (4, 4), dtype=np.int32),
    ]
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(image, name=f"I{k}", ver=k + 1) for k, image in enumerate(images))]
    table = fits.BinTableHDU.from_columns([fits.Column("A", "PD()", array=np.array([[1.0], [2.0, 3.0]], dtype=object))])
    scaled = fits.ImageHDU(np.arange(6, dtype=np.int16), name="SCALED")
    fits.HDUList([*hdus, table, scaled]).writeto(tmp_path / "x.fits")
    with fits.open(tmp_path / "x.fits", mode="update", do_not_scale_image_data=True) as hdus_again:
        hdus_again["SCALED"].header.update(BSCALE=0.5, BZERO=10.0)
    container = read_container(tmp_path / "x.fits")
    assert [unit.name for unit in container.units][:3] == ["PRIMARY", "I0", "I1"]
    for k, image in enumerate(images):
        unit = container.find(f"I{k}", k + 1)
        assert unit is not None
        assert unit.is_image
        np.testing.assert_array_equal(unit.array(), image)
    assert not container.units[-2].is_image
    unit = container.find("SCALED")
    assert unit is not None
    np.testing.assert_array_equal(unit.array(), np.arange(6) * 0.5 + 10)
    assert container.find("I0", 2) is None
    assert container.versions("I3") == [4]


# -- units


@pytest.mark.parametrize("unit", ["Jy", "MJy", "mJy", "uJy", "nJy", " MJy ", "erg / (s cm2 Hz)", "W m-2 Hz-1"])
def test_flux_density(unit: str) -> None:
    assert is_flux_density(unit)


@pytest.mark.parametrize("unit", ["MJy/sr", "DN/s", "", "Jy / arcsec2", "electron", "what?", "MJy sr-1"])
def test_no_flux_density(unit: str) -> None:
    assert not is_flux_density(unit)
