"""YAML 1.2's plain values, with positions.

No tags, no timestamps, no `yes` for true; an alias may be used, but not to blow up a document.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import yaml

from penstock.documents.model import (
    MAX_DEPTH,
    Document,
    DocumentError,
    Place,
    escape_pointer,
    place_of,
    require_mapping,
)

MAX_NODES: Final = 20_000
_PREFIX: Final = "tag:yaml.org,2002:"
_MAX_DIGITS: Final = 40
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


def from_yaml(text: str) -> Document:
    """The one mapping in `text`; raises DocumentError."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise _broken(error) from error
    except yaml.reader.ReaderError as error:
        raise DocumentError(
            "broken_yaml",
            f"is not YAML: character U+{_code_point(error.character):04X} is not allowed",
            place=place_of(text, error.position),
        ) from error
    except RecursionError as error:
        raise DocumentError("too_deep", f"is nested deeper than {MAX_DEPTH} levels") from error
    build = _Builder()
    value = build.value(root, "", 0) if root is not None else None
    return Document(require_mapping(value), build.places)


class _Loader(yaml.SafeLoader):
    """A SafeLoader whose plain scalars follow YAML 1.2's core schema."""


_Loader.yaml_implicit_resolvers = {}

for _tag, _pattern, _first in (
    ("null", re.compile(r"null|Null|NULL|~|"), [*"nN~", ""]),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), [*"tTfF"]),
    ("int", re.compile(rf"(?:{_INT.pattern})\Z"), [*"-+0123456789"]),
    ("float", re.compile(rf"(?:{_FLOAT.pattern})\Z"), [*"-+.0123456789"]),
):
    _Loader.add_implicit_resolver(_PREFIX + _tag, re.compile(rf"(?:{_pattern.pattern})\Z"), _first)


class _Builder:
    """Turns the node graph into plain values, noting places and counting what aliases expand to."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self._num_nodes = 0

    def value(self, node: yaml.Node, pointer: str, depth: int) -> Any:
        self.places.setdefault(pointer, _place(node))
        self._count(node, pointer, depth)
        kind = str(node.tag).removeprefix(_PREFIX)
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node, pointer, depth)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [
                self.value(item, f"{pointer}/{index}", depth + 1)
                for index, item in enumerate(node.value)
            ]
        if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
            return _scalar(kind, node, pointer)
        raise DocumentError(
            "tag_refused", f"has the tag `{kind}`; tags are not allowed", place=_place(node),
            pointer=pointer,
        )  # fmt: skip

    def _count(self, node: yaml.Node, pointer: str, depth: int) -> None:
        self._num_nodes += 1
        if self._num_nodes > MAX_NODES:
            raise DocumentError(
                "too_many_aliases",
                f"has more than {MAX_NODES} values once its aliases are expanded",
                place=_place(node), pointer=pointer,
            )  # fmt: skip
        if depth > MAX_DEPTH:
            raise DocumentError(
                "too_deep", f"is nested deeper than {MAX_DEPTH} levels", place=_place(node)
            )

    def _mapping(self, node: yaml.MappingNode, pointer: str, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(key_node, pointer)
            inner = f"{pointer}/{escape_pointer(key)}"
            if key in made:
                first = self.places[inner]
                raise DocumentError(
                    "duplicate_key",
                    f"has the key `{key}` more than once (first on line {first.line})",
                    place=_place(key_node), pointer=inner,
                )  # fmt: skip
            # An error about a value is best shown at its key: that is where people look.
            self.places[inner] = _place(key_node)
            made[key] = self.value(value_node, inner, depth + 1)
        return made


_SCALARS: Final = frozenset({"null", "bool", "int", "float", "str"})


def _key(node: yaml.Node, pointer: str) -> str:
    if isinstance(node, yaml.ScalarNode) and str(node.tag).removeprefix(_PREFIX) in _SCALARS:
        return str(node.value)
    raise DocumentError(
        "broken_yaml", "has a key that is not plain text", place=_place(node), pointer=pointer
    )


def _scalar(kind: str, node: yaml.ScalarNode, pointer: str) -> Any:
    text = str(node.value)
    if kind != "str" and len(text) > _MAX_DIGITS:
        raise _out_of_range(node, pointer)
    try:
        value: Any = _READERS[kind](text)
    except ValueError as error:
        raise DocumentError(
            "broken_yaml", f"has a value that is no {kind}: {text[:40]}", place=_place(node),
            pointer=pointer,
        ) from error  # fmt: skip
    if isinstance(value, float) and not math.isfinite(value):
        raise _out_of_range(node, pointer)
    return value


def _out_of_range(node: yaml.ScalarNode, pointer: str) -> DocumentError:
    return DocumentError(
        "number_too_large",
        f"has a number out of range: {str(node.value)[:20]}",
        place=_place(node),
        pointer=pointer,
    )


def _code_point(character: object) -> int:
    """PyYAML gives a number from text and a letter from bytes."""
    return character if isinstance(character, int) else ord(str(character)[:1] or "?")


def _integer(text: str) -> int:
    if not _INT.fullmatch(text):
        raise ValueError(text)
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text, base)


def _number(text: str) -> float:
    return float(text.replace(".inf", "inf").replace(".nan", "nan").lower())


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": _number,
    "str": str,
}


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _broken(error: yaml.MarkedYAMLError) -> DocumentError:
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else None
    return DocumentError("broken_yaml", f"is not YAML: {error.problem}", place=place)
