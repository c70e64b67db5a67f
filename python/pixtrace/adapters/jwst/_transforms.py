"""Transforms of astropy that are made of polynomials, for evaluation on grids.

They are read into the same functions as those in the nodes of a file (`pixtrace.io.jwst.polynomial`): a datamodel that
is open has the objects, not the nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pixtrace.io.jwst.polynomial import polynomial_1d, polynomial_2d

if TYPE_CHECKING:
    from collections.abc import Callable

    from pixtrace.io.jwst.polynomial import Transform

__all__ = ["fast_transform"]

_ARITHMETIC: Final[dict[str, Any]] = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
_PLAIN: Final = ((-1.0, 1.0), (-1, 1), None)


def fast_transform(model: Any) -> Transform | None:  # noqa: ANN401 - astropy comes without types
    """Return a function that evaluates a transform, sparing what astropy does around each evaluation.

    Parameters
    ----------
    model : astropy.modeling.Model
        The transform.

    Returns
    -------
    callable or None
        Takes a sequence of float64 arrays that broadcast against each other and returns a list of such; None if the
        transform holds anything but identities, permutations, shifts, scales, constants, polynomials and their sums,
        products and compositions. A bounding box is passed over.
    """
    operator = getattr(model, "op", None)
    if operator is not None:
        left, right = fast_transform(model.left), fast_transform(model.right)
        if left is None or right is None:
            return None
        return _joined(str(operator), left, right, int(model.left.n_inputs))
    reader = _READERS.get(type(model).__name__)
    return None if reader is None or model.input_units is not None else reader(model)


def _joined(operator: str, left: Transform, right: Transform, n_left: int) -> Transform | None:
    if operator == "|":
        return lambda v: right(left(v))
    if operator == "&":
        return lambda v: [*left(v[:n_left]), *right(v[n_left:])]
    arithmetic = _ARITHMETIC.get(operator)
    if arithmetic is None:
        return None
    return lambda v: [arithmetic(a, b) for a, b in zip(left(v), right(v), strict=True)]


def _identity(_: Any) -> Transform:  # noqa: ANN401
    return list


def _mapping(model: Any) -> Transform:  # noqa: ANN401
    order = [int(place) for place in model.mapping]
    return lambda v: [v[i] for i in order]


def _shift(model: Any) -> Transform:  # noqa: ANN401
    offset = float(model.offset.value)
    return lambda v: [v[0] + offset]


def _scale(model: Any) -> Transform:  # noqa: ANN401
    factor = float(model.factor.value)
    return lambda v: [v[0] * factor]


def _constant(model: Any) -> Transform:  # noqa: ANN401
    amplitude = np.array(float(model.amplitude.value))
    return lambda _: [amplitude]


def _polynomial_1d(model: Any) -> Transform | None:  # noqa: ANN401
    if _limits(model.domain) not in _PLAIN or _limits(model.window) not in _PLAIN:
        return None
    return polynomial_1d(np.array(model.parameters, dtype=np.float64))


def _polynomial_2d(model: Any) -> Transform | None:  # noqa: ANN401
    limits = (model.x_domain, model.x_window, model.y_domain, model.y_window)
    if any(_limits(limit) not in _PLAIN for limit in limits):
        return None
    degree = int(model.degree)
    c = np.zeros((degree + 1, degree + 1))
    for i in range(degree + 1):
        for j in range(degree + 1 - i):
            c[i, j] = float(getattr(model, f"c{i}_{j}").value)
    return polynomial_2d(c)


def _limits(limits: Any) -> tuple[float, ...] | None:  # noqa: ANN401
    return None if limits is None else tuple(float(limit) for limit in limits)


_READERS: Final[dict[str, Callable[[Any], Transform | None]]] = {
    "Identity": _identity,
    "Mapping": _mapping,
    "Shift": _shift,
    "Scale": _scale,
    "Const1D": _constant,
    "Polynomial1D": _polynomial_1d,
    "Polynomial2D": _polynomial_2d,
}
