"""What asdf asks for through the entry points ``asdf.resource_mappings`` and ``asdf.extensions``.

Whoever opens an ASDF file that holds a `pixtrace.trace.TraceModel`, with ``asdf.open`` and nothing else, gets the
model; and a `TraceModel` can stand anywhere in the tree of a file that is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import FileReadError
from pixtrace.io.models.stored import flat_record, model_from_tables, nested_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pixtrace.trace.model import TraceModel
    from pixtrace.trace.record import RecordTable

__all__ = ["EXTENSION_URI", "TAG", "TraceExtension", "TraceModelConverter", "extensions", "resource_mappings"]

_BASE = "asdf://pixtrace.org/pixtrace"
#: Name of the extension.
EXTENSION_URI = f"{_BASE}/extensions/trace-1.0.0"
#: Tag of a trace model.
TAG = f"{_BASE}/tags/trace_model-1.0.0"
#: Arrays of a region, in the order of its table.
_ARRAYS = ("columns", "spline", "scale", "bounds", "n_knots", "knots", "coefficients")
_INTEGERS = frozenset({"columns", "spline", "n_knots"})


def resource_mappings() -> list[Any]:
    """Return the schemas, by their URIs.

    Returns
    -------
    list
        One mapping.
    """
    from asdf.resource import DirectoryResourceMapping

    return [DirectoryResourceMapping(Path(__file__).parent / "schemas", f"{_BASE}/schemas/")]


def extensions() -> list[Any]:
    """Return the extension that turns models into trees and back.

    Returns
    -------
    list
        One extension.
    """
    return [TraceExtension()]


class TraceModelConverter:
    """Turns a trace model into a tree and back, as `asdf.extension.Converter` asks for."""

    tags = (TAG,)
    types = ("pixtrace.trace.model.TraceModel",)

    def to_yaml_tree(self, obj: TraceModel, tag: str, ctx: object) -> dict[str, Any]:  # noqa: ARG002 - asdf's own
        """Return the arrays of a model.

        Parameters
        ----------
        obj : TraceModel
            The model.
        tag, ctx : object
            Not needed.

        Returns
        -------
        dict
            What the schema describes.
        """
        regions: list[dict[str, Any]] = []
        records = obj.records()
        for label, table in obj.tables().items():
            region: dict[str, Any] = {"region": label, **dict(zip(_ARRAYS, table, strict=True))}
            if label in records:
                region["record"] = flat_record(records[label])
            regions.append(region)
        return {"regions": regions}

    def from_yaml_tree(self, node: Mapping[str, Any], tag: str, ctx: object) -> TraceModel:  # noqa: ARG002
        """Return the model of some arrays.

        Parameters
        ----------
        node : mapping
            What the schema describes.
        tag, ctx : object
            Not needed.

        Returns
        -------
        TraceModel
            The model.

        Raises
        ------
        FileReadError
            The arrays do not make a model.
        """
        tables: dict[int, tuple[npt.NDArray[Any], ...]] = {}
        records: dict[int, RecordTable] = {}
        for region in node["regions"]:
            label = int(region["region"])
            if label in tables:
                msg = f"the trace model holds region {label} twice; get a complete copy"
                raise FileReadError(msg)
            tables[label] = tuple(_array(region, name) for name in _ARRAYS)
            if "record" in region:
                records[label] = nested_record(dict(region["record"]), f"region {label}")
        return model_from_tables(tables, "the file", records)


class TraceExtension:
    """What pixtrace adds to asdf, as `asdf.extension.Extension` asks for."""

    extension_uri = EXTENSION_URI
    converters = (TraceModelConverter(),)

    @property
    def tags(self) -> list[Any]:
        """The tag of a trace model and its schema."""
        from asdf.extension import TagDefinition

        return [TagDefinition(TAG, schema_uris=[f"{_BASE}/schemas/trace_model-1.0.0"])]


def _array(region: Any, name: str) -> Any:  # noqa: ANN401 - asdf has no types
    """Return an array of a region in machine byte order."""
    kind = np.int64 if name in _INTEGERS else np.float64
    array = np.array(region[name], dtype=kind)
    return array.reshape(-1, 2) if name == "bounds" else array
