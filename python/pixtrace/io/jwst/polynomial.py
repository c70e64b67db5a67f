"""Transforms made of polynomials, read from the nodes of an ASDF tree and evaluated on grids.

The MRS detector coordinates are polynomials of shifted pixel numbers, slice by slice. On a grid a polynomial of degree
n in x and y costs n multiplications per pixel, not n squared; and reading it from the nodes spares importing
astropy.modeling, gwcs and asdf, and making an object of every transform. Only the few transforms that occur there are
known: for all others `read_transform` returns None, and the caller lets gwcs do it (`pixtrace.io.jwst.geometry`), with
which these agree to rounding (``tests/unit/test_io_jwst_geometry.py``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pixtrace.io.jwst.tree import AsdfTree, Node

__all__ = ["Transform", "polynomial_1d", "polynomial_2d", "read_transform"]

Values: TypeAlias = "npt.NDArray[np.float64]"
#: Takes coordinates that broadcast against each other, and returns coordinates that do.
Transform: TypeAlias = "Callable[[Sequence[Values]], list[Values]]"
#: A transform and its numbers of inputs and outputs.
_Sized: TypeAlias = "tuple[Transform, int, int]"

_TAG = re.compile(r"tag:stsci\.edu:asdf/transform/([a-z_0-9]+)-[0-9.]+$")
_ARITHMETIC = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide}


def read_transform(tree: AsdfTree, node: Node | None) -> Transform | None:
    """Return the transform that a node describes.

    Parameters
    ----------
    tree : AsdfTree
        The tree that the node belongs to.
    node : Node or None
        The node.

    Returns
    -------
    callable or None
        Takes a sequence of float64 arrays that broadcast against each other and returns a list of such; None if the
        node holds anything but identities, permutations, shifts, scales, constants, polynomials and their sums,
        products and compositions.
    """
    sized = _read(tree, node)
    return None if sized is None else sized[0]


def _read(tree: AsdfTree, node: Node | None) -> _Sized | None:
    """Return a transform with its numbers of inputs and outputs."""
    match = _TAG.match(str(node.tag)) if node is not None else None
    if match is None or any(tree.child(node, key) is not None for key in ("bounding_box", "input_units_equivalencies")):
        return None
    kind = match.group(1)
    if kind in {"compose", "concatenate"} or kind in _ARITHMETIC:
        return _read_compound(tree, node, kind)
    reader = {"remap_axes": _read_mapping, "polynomial": _read_polynomial}.get(kind)
    return reader(tree, node) if reader else _read_simple(tree, node, kind)


def _read_simple(tree: AsdfTree, node: Node, kind: str) -> _Sized | None:
    """Return an identity, a constant, a shift or a scale."""
    if kind == "identity":
        n = int(tree.number(tree.child(node, "n_dims")) or 1)
        return list, n, n
    value = tree.number(tree.child(node, {"constant": "value", "shift": "offset", "scale": "factor"}.get(kind, kind)))
    if value is None:
        return None
    if kind == "constant":
        dimensions = tree.number(tree.child(node, "dimensions")) or 1.0
        return lambda _: [np.array(value)], int(dimensions), 1
    if kind == "shift":
        return lambda v: [v[0] + value], 1, 1
    return (lambda v: [v[0] * value], 1, 1) if kind == "scale" else None


def _read_compound(tree: AsdfTree, node: Node, kind: str) -> _Sized | None:
    """Return two transforms joined: one after the other, side by side, or by arithmetic."""
    parts = tree.items(tree.child(node, "forward"))
    if len(parts) != 2:  # noqa: PLR2004 - they come in pairs
        return None
    left, right = (_read(tree, part) for part in parts)
    if left is None or right is None:
        return None
    (first, n_in, n_mid), (second, n_second, n_out) = left, right
    if kind == "compose":
        return (lambda v: second(first(v)), n_in, n_out) if n_mid == n_second else None
    if kind == "concatenate":
        return lambda v: [*first(v[:n_in]), *second(v[n_in:])], n_in + n_second, n_mid + n_out
    operation = _ARITHMETIC[kind]
    if n_in != n_second or n_mid != n_out:
        return None
    return lambda v: [operation(a, b) for a, b in zip(first(v), second(v), strict=True)], n_in, n_mid


def _read_mapping(tree: AsdfTree, node: Node) -> _Sized | None:
    """Return a choice and permutation of the inputs."""
    places = tree.numbers(tree.child(node, "mapping"))
    if not places or any(place != int(place) for place in places):
        return None
    order = [int(place) for place in places]
    n_in = tree.number(tree.child(node, "n_inputs"))
    return lambda v: [v[i] for i in order], int(n_in) if n_in else max(order) + 1, len(order)


def _read_polynomial(tree: AsdfTree, node: Node) -> _Sized | None:
    """Return a polynomial of one or two variables in powers of the variables themselves."""
    coefficients = tree.array(tree.child(node, "coefficients"))
    for key in ("domain", "window"):  # anything else would scale the variables first
        limits = tree.child(node, key)
        pairs = [item for item in tree.items(limits) if item.id == "sequence"] or [limits]
        if limits is not None and any(tree.numbers(pair) != [-1.0, 1.0] for pair in pairs):
            return None
    if coefficients is None:
        return None
    c = np.asarray(coefficients, dtype=np.float64)
    if c.ndim == 1:
        return polynomial_1d(c), 1, 1
    if c.ndim == 2:  # noqa: PLR2004 - x and y
        return polynomial_2d(c), 2, 1
    return None


def polynomial_1d(c: Values) -> Transform:
    """Return the polynomial ``sum(c[i] x**i)`` as a transform of one coordinate."""
    return lambda v: [np.asarray(np.polynomial.polynomial.polyval(v[0], c), dtype=np.float64)]


def polynomial_2d(c: Values) -> Transform:
    """Return the polynomial ``sum(c[i, j] x**i y**j)`` as a transform of two coordinates into one."""
    return lambda v: [_polynomial_2d(v[0], v[1], c)]


def _polynomial_2d(x: Values, y: Values, c: Values) -> Values:
    """Return the sum of ``c[i, j] x**i y**j``; x and y may be arrays of any shapes that broadcast.

    A polynomial in the longer of two axes, whose coefficients are polynomials in the other one, costs a grid no more
    than one in a single variable.
    """
    if x.size > y.size:
        x, y, c = y, x, c.T
    inner = np.polynomial.polynomial.polyval(x, c)  # the coefficient of each power of y, along the first axis
    total = np.broadcast_to(inner[-1], np.broadcast_shapes(x.shape, y.shape)).copy()
    for coefficient in inner[-2::-1]:
        total *= y
        total += coefficient
    return total
