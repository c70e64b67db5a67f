"""The ASDF tree inside a JWST file, edited without being understood.

The tree is YAML text followed by binary blocks. It is read into YAML nodes, a few of them are changed, and the nodes
are written again with the blocks behind them: everything that is not ours, numbers to the last digit included, passes
through. Turning the tree into Python objects and back, as stdatamodels and asdf do, takes two seconds for an MRS
exposure (a thousand transforms); this takes 0.05 s.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import FileReadError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

__all__ = ["AsdfTree", "Node", "check_extra", "need_extra"]

#: A node of PyYAML: ScalarNode, SequenceNode or MappingNode; PyYAML comes without types.
Node = Any

_PACKAGES = ("yaml", "asdf", "gwcs", "stdatamodels")
_NOT_INSTALLED = "JWST files need {}, which is not installed: pip install 'pixtrace[jwst]'"
_CORE = "tag:yaml.org,2002:"
_ASDF = "tag:stsci.edu:asdf/"
_END_OF_YAML = re.compile(rb"\r?\n\.\.\.\r?\n")
_BLOCK_MAGIC = b"\xd3BLK"
_INDEX_MAGIC = b"#ASDF BLOCK INDEX"


def check_extra() -> None:
    """Find the packages of the extra ``jwst`` without importing them, be they needed for a file or not.

    Raises
    ------
    MissingExtraError
        One of them is not installed.
    """
    for module in _PACKAGES:
        try:
            missing = importlib.util.find_spec(module) is None
        except ValueError:  # blocked
            missing = True
        if missing:
            raise MissingExtraError(_NOT_INSTALLED.format(module))


def need_extra(module: str) -> Any:  # noqa: ANN401 - a module, which comes without types
    """Return an optional module that reading JWST files needs.

    Parameters
    ----------
    module : str
        Its name.

    Returns
    -------
    module
        The module.

    Raises
    ------
    MissingExtraError
        It is not installed, or something that it needs is not.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(_NOT_INSTALLED.format(module)) from error


class AsdfTree:
    """The tree of an ASDF file as YAML nodes, and the binary blocks behind it.

    Parameters
    ----------
    content : memoryview
        The ASDF file.
    where : str
        File and extension, for messages.

    Raises
    ------
    FileReadError
        It is not an ASDF file, or ends too early.
    MissingExtraError
        PyYAML, which the extra ``jwst`` brings, is not installed.
    """

    def __init__(self, content: memoryview, where: str) -> None:
        yaml = need_extra("yaml")
        self.where = where
        head = bytes(content[:5])
        text_start = _find(content, b"%YAML")
        stop = _END_OF_YAML.search(content)
        if head != b"#ASDF" or text_start < 0 or stop is None:
            msg = f"{where} does not hold an ASDF file (it begins with {head!r}), or not all of it"
            raise FileReadError(msg)
        self.content = content
        self._comments = bytes(content[:text_start])
        self._tail = content[stop.end() :]
        self._tail_start = stop.end()
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            self.root: Node = yaml.compose(bytes(content[text_start : stop.end()]), Loader=loader)
        except yaml.YAMLError as error:
            msg = f"{where}: the ASDF tree cannot be read ({error})"
            raise FileReadError(msg) from error
        self._yaml = yaml
        self._array_tag: str | None = None
        self._blocks, self._index_start = self._find_blocks()

    def copy(self) -> AsdfTree:
        """Return the tree as it was read, to be changed independently."""
        return AsdfTree(self.content, self.where)

    # -- looking

    @staticmethod
    def child(node: Node, *path: str | int) -> Node | None:
        """Return what lies under `node` at `path`, None if there is nothing."""
        for step in path:
            if node is None:
                return None
            if isinstance(step, int):
                node = node.value[step] if node.id == "sequence" and step < len(node.value) else None
            elif node.id == "mapping":
                node = next((value for key, value in node.value if key.value == step), None)
            else:
                return None
        return node

    @staticmethod
    def entries(node: Node | None) -> list[tuple[str, Node]]:
        """Return names and values of a mapping, empty for anything else."""
        return [(str(k.value), v) for k, v in node.value] if node is not None and node.id == "mapping" else []

    @staticmethod
    def items(node: Node | None) -> list[Node]:
        """Return the items of a sequence, empty for anything else."""
        return list(node.value) if node is not None and node.id == "sequence" else []

    def changed(self, node: Node, **entries: Node) -> Node:
        """Return a copy of a mapping, not of what is in it, with some entries set."""
        return self.mapping({**dict(self.entries(node)), **entries}, str(node.tag))

    def get(self, *path: str | int) -> Node | None:
        """Return what lies at `path` of the tree, None if there is nothing."""
        return self.child(self.root, *path)

    @staticmethod
    def text(node: Node | None) -> str | None:
        """Return the text of a scalar, None for anything else and for null."""
        if node is None or node.id != "scalar" or node.tag == _CORE + "null":
            return None
        return str(node.value)

    @classmethod
    def number(cls, node: Node | None) -> float | None:
        """Return the number that a scalar holds, None if it holds none."""
        text = cls.text(node)
        try:
            return None if text is None else float(text.replace("_", ""))
        except ValueError:
            return {".nan": float("nan"), ".inf": float("inf"), "-.inf": float("-inf")}.get(str(text).lower())

    @classmethod
    def numbers(cls, node: Node | None) -> list[float] | None:
        """Return the numbers of a flat list, None if it is not one."""
        if node is None or node.id != "sequence":
            return None
        values = [cls.number(item) for item in node.value]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None

    @staticmethod
    def is_array(node: Node) -> bool:
        """Whether a node describes an array."""
        return str(node.tag).startswith(_ASDF + "core/ndarray-")

    def array(self, node: Node | None) -> npt.NDArray[Any] | None:
        """Return the array behind an ndarray node: a read-only view of its block.

        Returns
        -------
        ndarray or None
            None if it is not an array in a plain, uncompressed internal block.
        """
        source, shape = self.number(self.child(node, "source")), self.numbers(self.child(node, "shape"))
        kind, order = self.text(self.child(node, "datatype")), self.text(self.child(node, "byteorder"))
        plain = (
            source is not None
            and shape is not None
            and kind in {"float64", "float32", "int64", "int32", "int16", "uint8", "uint16", "int8"}
            and order in {"big", "little"}
            and not any(self.child(node, key) is not None for key in ("offset", "strides", "mask"))
        )
        if not plain or source is None or shape is None or not 0 <= source < len(self._blocks):
            return None
        start, size, compressed = self._blocks[int(source)]
        dtype = np.dtype(kind).newbyteorder(">" if order == "big" else "<")
        sizes = [int(n) for n in shape]
        n_bytes = int(np.prod(sizes)) * dtype.itemsize
        if compressed or n_bytes > size:
            return None
        return np.frombuffer(self._tail[start : start + n_bytes], dtype=dtype).reshape(sizes)

    def walk(self, node: Node) -> Iterator[Node]:
        """Yield a node and all nodes below it, each once even where the tree refers to it more than once."""
        seen: set[int] = set()
        stack = [node]
        while stack:
            item = stack.pop()
            if id(item) in seen:
                continue
            seen.add(id(item))
            yield item
            if item.id == "mapping":
                stack.extend(value for _, value in item.value)
            elif item.id == "sequence":
                stack.extend(item.value)

    # -- building

    def scalar(self, value: str | float) -> Node:
        """Return a scalar node."""
        if isinstance(value, int):
            tag, text = "int", str(value)
        elif isinstance(value, float):
            tag, text = "float", _yaml_float(value)
        else:
            tag, text = "str", str(value)
        return self._yaml.ScalarNode(_CORE + tag, text)

    def sequence(self, items: Sequence[Node], tag: str | None = None, *, flow: bool = False) -> Node:
        """Return a sequence of nodes."""
        return self._yaml.SequenceNode(tag or _CORE + "seq", list(items), flow_style=flow)

    def mapping(self, items: Mapping[str, Node], tag: str | None = None) -> Node:
        """Return a mapping from names to nodes."""
        pairs = [(self.scalar(key), value) for key, value in items.items()]
        return self._yaml.MappingNode(tag or _CORE + "map", pairs, flow_style=False)

    def put(self, node: Node, key: str, value: Node) -> None:
        """Set an entry of a mapping, in alphabetical order if it is new."""
        for i, (name, _) in enumerate(node.value):
            if name.value == key:
                node.value[i] = (name, value)
                return
        at = next((i for i, (name, _) in enumerate(node.value) if name.value > key), len(node.value))
        node.value.insert(at, (self.scalar(key), value))

    @staticmethod
    def remove(node: Node, key: str) -> None:
        """Remove an entry of a mapping, if it is there."""
        node.value[:] = [(name, value) for name, value in node.value if name.value != key]

    def put_scalar(self, value: str | float, *path: str) -> None:
        """Set a scalar of the tree, making the mappings above it where needed."""
        self.put_node(self.scalar(value), *path)

    def put_node(self, value: Node, *path: str) -> None:
        """Set an entry of the tree, making the mappings above it where needed."""
        node = self.root
        for name in path[:-1]:
            below = self.child(node, name)
            if below is None:
                below = self.mapping({})
                self.put(node, name, below)
            node = below
        self.put(node, path[-1], value)

    def external_array(self, name: str, version: int, datatype: str, shape: Sequence[int]) -> Node:
        """Return the node of an array that lies in an extension of the FITS file around the tree."""
        if self._array_tag is None:
            found = (str(node.tag) for node in self.walk(self.root) if self.is_array(node))
            self._array_tag = next(found, _ASDF + "core/ndarray-1.0.0")
        return self.mapping(
            {
                "source": self.scalar(f"fits:{name},{version}"),
                "datatype": self.scalar(datatype),
                "byteorder": self.scalar("big"),
                "shape": self.sequence([self.scalar(int(n)) for n in shape], flow=True),
            },
            self._array_tag,
        )

    # -- writing

    def to_bytes(self, *, blocks: bool = True) -> list[bytes | memoryview]:
        """Return the ASDF file in pieces: the tree anew, the blocks as they were.

        Parameters
        ----------
        blocks : bool, optional
            False leaves the blocks out; nothing in the tree may refer to one then.
        """
        text = self._comments + self._yaml.serialize(
            self.root,
            Dumper=getattr(self._yaml, "CSafeDumper", self._yaml.SafeDumper),
            explicit_start=True,
            explicit_end=True,
            version=(1, 1),
            tags={"!": _ASDF},
            encoding="utf-8",
            allow_unicode=True,
        )
        if not blocks or not self._blocks:
            return [text]
        pieces: list[bytes | memoryview] = [text, self._tail[: self._index_start]]
        if self._index_start < len(self._tail):  # the index gives offsets in the file, which have moved
            offsets = "".join(f"- {len(text) + start}\n" for start in self._block_starts)
            pieces.append(_INDEX_MAGIC + f"\n%YAML 1.1\n---\n{offsets}...\n".encode())
        return pieces

    def _find_blocks(self) -> tuple[list[tuple[int, int, bool]], int]:
        """Return start, size and whether compressed of the data of each block, and where the index begins."""
        blocks: list[tuple[int, int, bool]] = []
        self._block_starts: list[int] = []
        at = 0
        while at < len(self._tail) and self._tail[at] == 0:  # room for the tree to grow (pad_blocks of asdf)
            at += 1
        while self._tail[at : at + 4] == _BLOCK_MAGIC:
            header_size = int.from_bytes(self._tail[at + 4 : at + 6], "big")
            start = at + 6 + header_size
            compression = bytes(self._tail[at + 10 : at + 14])
            allocated, used = (int.from_bytes(self._tail[at + k : at + k + 8], "big") for k in (14, 22))
            if start + allocated > len(self._tail):
                msg = f"{self.where} is truncated: block {len(blocks)} of its ASDF file is not all there"
                raise FileReadError(msg)
            blocks.append((start, used, compression != b"\0\0\0\0"))
            self._block_starts.append(at)
            at = start + allocated
        has_index = self._tail[at : at + len(_INDEX_MAGIC)] == _INDEX_MAGIC
        return blocks, at if has_index else len(self._tail)


def _find(content: memoryview, what: bytes) -> int:
    """Return where `what` first occurs near the beginning, -1 if it does not."""
    return bytes(content[:4096]).find(what)


def _yaml_float(value: float) -> str:
    """Return a float as YAML 1.1 writes it, to the last digit."""
    if value != value:  # noqa: PLR0124 - NaN
        return ".nan"
    if value in {float("inf"), float("-inf")}:
        return ".inf" if value > 0 else "-.inf"
    text = repr(value).lower()
    if "." not in text and "e" in text:  # "1e-12" would be a string to YAML 1.1
        text = text.replace("e", ".0e", 1)
    return text
