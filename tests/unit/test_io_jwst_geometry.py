"""Coordinates from the nodes of a tree against gwcs, and the boxes of regions against their definition."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pixtrace.io.jwst.container import read_container
from pixtrace.io.jwst.geometry import boxes, finer, mrs_geometry
from pixtrace.io.jwst.polynomial import _polynomial_2d, read_transform
from pixtrace.io.jwst.tree import AsdfTree
from pixtrace.trace.oversample import nearest_rows
from tests.untyped import asdf, datamodels
from tests.untyped import models as m

labels_images = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(-2, 4))


def tree_of(model: Any) -> AsdfTree:
    """Return a tree that holds a transform."""
    buffer = io.BytesIO()
    asdf.AsdfFile({"transform": model}).write_to(buffer)
    return AsdfTree(memoryview(buffer.getvalue()), "test")


# -- transforms


def random_polynomial(seed: int, degree: int = 4) -> Any:
    rng = np.random.default_rng(seed)
    model = m.Polynomial2D(degree)
    model.parameters = rng.standard_normal(model.parameters.size)
    return model


KNOWN = {
    "identity": m.Identity(2),
    "mapping": m.Mapping((1, 0, 1)),
    "dropping": m.Mapping((0,), n_inputs=2),
    "shift and scale": m.Shift(0.3) & m.Scale(-2.0),
    "constant": m.Mapping((0,), n_inputs=2) | m.Const1D(4.5),
    "polynomial 1d": m.Mapping((1,), n_inputs=2) | m.Polynomial1D(3, c0=1, c1=-2, c2=0.5, c3=0.1),
    "polynomial 2d": random_polynomial(1),
    "swapped polynomial": m.Mapping((1, 0)) | random_polynomial(2),
    "sum": m.Mapping((0,), n_inputs=2) + m.Mapping((1,), n_inputs=2),
    "difference": m.Mapping((0,), n_inputs=2) - m.Mapping((1,), n_inputs=2),
    "product": m.Mapping((0,), n_inputs=2) * m.Mapping((1,), n_inputs=2),
    "quotient": m.Mapping((0,), n_inputs=2) / (m.Mapping((1,), n_inputs=2) | m.Shift(10.0)),
    "all": m.Mapping((1, 0, 0, 1, 0))
    | ((m.Identity(1) & m.Shift(-3.0) | random_polynomial(3)) & m.Const1D(0.2))
    & (m.Shift(1.0) & m.Identity(1) | random_polynomial(4) | m.Identity(1) * m.Const1D(1.1)),
}
UNKNOWN = {
    "sine": m.Mapping((0,), n_inputs=2) | m.Sine1D(),
    "table": m.Mapping((0,), n_inputs=2) | m.Tabular1D(np.arange(4.0), np.arange(4.0)),
    "scaled variables": m.Polynomial2D(2, x_domain=[0, 10], c1_0=1.0),
    "inside a sum": m.Mapping((0,), n_inputs=2) + (m.Mapping((1,), n_inputs=2) | m.Exponential1D()),
    "power": (m.Mapping((0,), n_inputs=2) | m.Const1D(2.0)) ** (m.Mapping((1,), n_inputs=2) | m.Const1D(3.0)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_transforms_read_from_nodes_agree_with_astropy(name: str) -> None:
    model = KNOWN[name]
    tree = tree_of(model)
    transform = read_transform(tree, tree.get("transform"))
    assert transform is not None
    x, y = np.linspace(-1, 2, 7)[:, np.newaxis], np.linspace(0, 1, 5)[np.newaxis]
    full = np.broadcast_arrays(x, y)
    expected = model(*full)
    expected = [expected] if model.n_outputs == 1 else list(expected)
    for arguments in ([x, y], full):
        found = [np.broadcast_to(values, full[0].shape) for values in transform(arguments)]
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_transforms_are_left_to_gwcs(name: str) -> None:
    tree = tree_of(UNKNOWN[name])
    assert read_transform(tree, tree.get("transform")) is None


def test_a_node_that_is_no_transform() -> None:
    tree = tree_of(m.Identity(1))
    assert read_transform(tree, None) is None
    assert read_transform(tree, tree.root) is None


@pytest.mark.parametrize("shapes", [((4, 1), (1, 6)), ((1, 6), (4, 1)), ((4, 6), (4, 6)), ((), (5,)), ((5,), ())])
def test_polynomial_of_any_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    rng = np.random.default_rng(0)
    x, y = (np.asarray(rng.standard_normal(shape)) for shape in shapes)
    c = rng.standard_normal((4, 3))
    expected = sum(c[i, j] * x**i * y**j for i in range(4) for j in range(3))
    np.testing.assert_allclose(_polynomial_2d(x, y, c), expected, rtol=1e-13, atol=1e-13)


def test_full_exposure_against_gwcs(full_exposure: Path) -> None:
    """Every slice, at pixels of a finer grid: alpha and wavelength are those of the whole WCS."""
    container = read_container(full_exposure)
    tree = AsdfTree(container.require("ASDF", why="").data, "test")
    geometry = mrs_geometry(tree, tree.get("meta", "wcs"), np.rot90)
    assert geometry is not None
    labels = geometry.labels()
    with datamodels.open(full_exposure) as model:
        to_alpha = model.meta.wcs.get_transform("detector", "alpha_beta")
        mapper = np.asarray(to_alpha.label_mapper.mapper)
        np.testing.assert_array_equal(labels, np.rot90(mapper))
        rng = np.random.default_rng(3)
        for label in np.unique(mapper[mapper > 0]):
            row, column = (values[::97] for values in np.nonzero(mapper == label))
            x = column + rng.uniform(-0.49, 0.49, column.size)
            y = row.astype(float)
            alpha, wavelength = geometry.coordinates(int(label), x, y)
            expected = to_alpha(x, y)
            # 1e-9 of a pixel is 2e-10 arcsec
            np.testing.assert_allclose(alpha, expected[0], rtol=0, atol=1e-12)
            np.testing.assert_allclose(wavelength, model.meta.wcs(x, y)[2], rtol=1e-13)


# -- boxes


@given(labels_images)
def test_boxes(labels: npt.NDArray[np.int32]) -> None:
    found = boxes(labels)
    assert list(found) == [label for label in np.unique(labels) if label > 0]
    for label, (rows, columns) in found.items():
        row, column = np.nonzero(labels == label)
        assert (rows.start, rows.stop) == (row.min(), row.max() + 1)
        assert (columns.start, columns.stop) == (column.min(), column.max() + 1)


@pytest.mark.parametrize("large", [40000, 2**31 - 1])
def test_boxes_of_large_numbers(large: int) -> None:
    labels = np.array([[0, large], [7, large]], dtype=np.int32)
    assert list(boxes(labels)) == [7, large]


@given(labels_images, st.floats(1, 4), st.booleans())
def test_boxes_on_a_finer_grid(labels: npt.NDArray[np.int32], factor: float, flipped: bool) -> None:
    rows = nearest_rows(labels.shape[0], factor, flipped=flipped)
    assert finer(boxes(labels), rows) == boxes(labels[rows])
