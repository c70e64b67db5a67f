"""The WCS of an exposure as nodes of its ASDF tree: looking at its steps, and putting oversampled pixels in front.

The oversampled WCS begins with a frame of its own, ``coordinates``, whose pixels are N times finer along the slices:
native pixel x = X / N - (N - 1) / (2 N). Where the WCS begins with such a frame already (NIRSpec IFU), its transform is
preceded by that. Bounding boxes of the whole, and of each slice where they have one, become those of the finer pixels;
everything from the frame ``detector`` on stays as it was.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixtrace.io.jwst.tree import AsdfTree, Node

__all__ = ["Step", "bounding_box_of", "oversample_wcs", "oversampled_by", "steps_of"]

FINE_FRAME = "coordinates"
_TRANSFORM = "tag:stsci.edu:asdf/transform/"
_BOX = re.compile(r"tag:stsci\.edu:asdf/transform/property/bounding_box-")
_COMPOUND_BOX = re.compile(r"tag:stsci\.edu:asdf/transform/property/compound_bounding_box-")
_KIND = re.compile(r"tag:stsci\.edu:asdf/transform/([a-z_0-9]+)-")
#: Versions of the transforms to be used where the tree has none of a kind, by that of its "compose".
_FAMILIES = {"1.4.0": "1.4.0", "1.3.0": "1.3.0"}
_OLDEST = "1.2.0"


@dataclass(frozen=True)
class Step:
    """One step of a WCS.

    Attributes
    ----------
    node : Node
        The step.
    frame : str
        Name of its frame.
    transform : Node or None
        Transform to the next frame, None for the last one.
    """

    node: Node
    frame: str
    transform: Node | None


def steps_of(tree: AsdfTree, wcs: Node | None) -> list[Step]:
    """Return the steps of a WCS, empty if the node is no WCS.

    Parameters
    ----------
    tree : AsdfTree
        The tree.
    wcs : Node or None
        The WCS.

    Returns
    -------
    list of Step
        In the order of the pipeline.
    """
    found: list[Step] = []
    for node in tree.items(tree.child(wcs, "steps")):
        frame = tree.child(node, "frame")
        name = tree.text(tree.child(frame, "name")) or tree.text(frame) or ""
        transform = tree.child(node, "transform")
        is_null = transform is None or transform.id == "scalar"
        found.append(Step(node, name, None if is_null else transform))
    return found


def bounding_box_of(tree: AsdfTree, transform: Node | None) -> list[tuple[float, float]] | None:
    """Return the bounding box of a transform of pixels, x before y; None if it has none, or one for each slit.

    Parameters
    ----------
    tree : AsdfTree
        The tree.
    transform : Node or None
        The transform, with at least two inputs.

    Returns
    -------
    list of (float, float) or None
        Lower and upper limit of x and of y.
    """
    box = tree.child(transform, "bounding_box") if transform is not None else None
    if box is None:
        return None
    if box.id == "sequence":  # the oldest form: y before x
        limits = [tree.numbers(item) for item in reversed(box.value)]
    elif _BOX.match(str(box.tag)):
        intervals = tree.child(box, "intervals")
        limits = [tree.numbers(tree.child(intervals, name)) for name in _inputs(tree, transform)[:2]]
    else:
        return None
    if len(limits) != 2 or any(item is None for item in limits):  # noqa: PLR2004 - x and y
        return None
    return [(float(item[0]), float(item[1])) for item in limits if item is not None]


def oversampled_by(tree: AsdfTree, wcs: Node) -> float:
    """Return the factor by which the pixels of a WCS are finer than those of the detector, 1 if they are not.

    Parameters
    ----------
    tree : AsdfTree
        The tree.
    wcs : Node
        The WCS.

    Returns
    -------
    float
        From the scale in the transform of the frame ``coordinates``.
    """
    steps = steps_of(tree, wcs)
    if not steps or steps[0].frame != FINE_FRAME or steps[0].transform is None:
        return 1.0
    for node in tree.walk(steps[0].transform):
        match = _KIND.match(str(node.tag))
        if match and match.group(1) == "scale":
            factor = tree.number(tree.child(node, "factor"))
            if factor:
                return 1.0 / factor
    return 1.0


def oversample_wcs(tree: AsdfTree, wcs: Node, factor: float, axis: int) -> None:
    """Put pixels that are `factor` times finer along one axis in front of a WCS.

    Parameters
    ----------
    tree : AsdfTree
        The tree, changed in place.
    wcs : Node
        A WCS in it, with at least one step.
    factor : float
        Oversampling factor.
    axis : {0, 1}
        Axis along which the slices extend: 0 for x, 1 for y.
    """
    steps = steps_of(tree, wcs)
    first = steps[0]
    maker = _Maker(tree, wcs, factor, axis)
    sizes = tree.numbers(tree.child(wcs, "pixel_shape"))  # x before y; usually not given
    if sizes:
        fine_sizes = [math.ceil(size * factor) if i == axis else int(size) for i, size in enumerate(sizes)]
        tree.put(wcs, "pixel_shape", tree.sequence([tree.scalar(size) for size in fine_sizes], flow=True))
    if first.frame == FINE_FRAME:
        tree.put(first.node, "transform", maker.refined(first.transform))
        for step in steps[1:2]:  # each slice has a bounding box, in pixels of the image
            maker.refine_slices(step.transform)
        return
    fine = tree.changed(tree.child(first.node, "frame"), name=tree.scalar(FINE_FRAME))
    step = tree.mapping({"frame": fine, "transform": maker.refined(first.transform, alone=True)}, str(first.node.tag))
    tree.put(wcs, "steps", tree.sequence([step, *(step.node for step in steps)]))


class _Maker:
    """Makes the nodes of finer pixels in the versions that a tree uses."""

    def __init__(self, tree: AsdfTree, wcs: Node, factor: float, axis: int) -> None:
        self.tree = tree
        self.factor = factor
        self.axis = axis
        self.tags: dict[str, str] = {}
        for node in tree.walk(wcs):
            match = _KIND.match(str(node.tag))
            if match:
                self.tags.setdefault(match.group(1), str(node.tag))
        version = self.tags.get("compose", "").rpartition("-")[2]
        self.version = _FAMILIES.get(version, _OLDEST)

    def make(self, kind: str, inputs: list[str], outputs: list[str], **entries: Node) -> Node:
        """Return a transform."""
        tree = self.tree
        names = {
            "inputs": tree.sequence([tree.scalar(name) for name in inputs], flow=True),
            "outputs": tree.sequence([tree.scalar(name) for name in outputs], flow=True),
        }
        tag = self.tags.get(kind, f"{_TRANSFORM}{kind}-{self.version}")
        return tree.mapping(dict(sorted({**entries, **names}.items())), tag)

    def refined(self, transform: Node, *, alone: bool = False) -> Node:
        """Return a transform from finer to native pixels, followed by `transform` unless it is to stand alone."""
        tree = self.tree
        names = _inputs(tree, transform)
        shown = [*"xy", *names[2:]]  # a slit name may follow
        scale = self.make("scale", ["x"], ["y"], factor=tree.scalar(1.0 / self.factor))
        shift = self.make("shift", ["x"], ["y"], offset=tree.scalar(-(self.factor - 1.0) / (2.0 * self.factor)))
        parts = [self.make("identity", ["x0"], ["x0"]) for _ in names]
        parts[self.axis] = self.make("compose", ["x"], ["y"], forward=tree.sequence([scale, shift]))
        joined = parts[0]
        for i, part in enumerate(parts[1:], start=1):
            pair = tree.sequence([joined, part])
            joined = self.make("concatenate", shown[: i + 1], shown[: i + 1], forward=pair)
        if not alone:
            old = tree.changed(transform)
            tree.remove(old, "bounding_box")
            outputs = [tree.text(name) or "" for name in tree.items(tree.child(old, "outputs"))]
            joined = self.make("compose", shown, outputs, forward=tree.sequence([joined, old]))
        tree.put(joined, "name", tree.scalar("coord2det"))
        box = tree.child(transform, "bounding_box")
        if box is not None:
            tree.put(joined, "bounding_box", self.refined_box(box, dict(zip(names, shown, strict=True)), names))
        return joined

    def refine_slices(self, selector: Node | None) -> None:
        """Give the transform of each slice a bounding box in finer pixels, where it has one in native ones."""
        tree = self.tree
        parts = tree.child(selector, "selector") if selector is not None else None
        for node in tree.walk(parts) if parts is not None else ():
            box = tree.child(node, "bounding_box") if node.id == "mapping" else None
            if box is not None and tree.child(node, "inputs") is not None:
                names = _inputs(tree, node)
                tree.put(node, "bounding_box", self.refined_box(box, {name: name for name in names}, names))

    def refined_box(self, box: Node, renamed: dict[str, str], names: list[str]) -> Node:
        """Return a bounding box in finer pixels, its inputs renamed."""
        tree = self.tree
        if box.id == "sequence":  # the oldest form: y before x
            place = len(box.value) - 1 - self.axis
            items = [self.fine(item) if i == place else item for i, item in enumerate(box.value)]
            return tree.sequence(items)
        if _COMPOUND_BOX.match(str(box.tag)):
            items = [
                tree.changed(item, bbox=self.refined_box(tree.child(item, "bbox"), renamed, names))
                for item in tree.items(tree.child(box, "cbbox"))
            ]
            return tree.changed(box, cbbox=tree.sequence(items))
        intervals = {
            renamed.get(name, name): self.fine(value) if name == names[self.axis] else value
            for name, value in tree.entries(tree.child(box, "intervals"))
        }
        return tree.changed(box, intervals=tree.mapping(intervals))

    def fine(self, interval: Node) -> Node:
        """Return an interval of native pixels in finer ones."""
        limits = self.tree.numbers(interval)
        if limits is None:
            return interval
        shift = (self.factor - 1.0) / 2.0
        return self.tree.sequence([self.tree.scalar(v * self.factor + shift) for v in limits], flow=True)


def _inputs(tree: AsdfTree, transform: Node) -> list[str]:
    """Return the names of the inputs of a transform of pixels."""
    names = tree.child(transform, "inputs")
    if names is None:  # the oldest trees do not tell
        return ["x0", "x1"]
    return [tree.text(name) or "" for name in names.value]
