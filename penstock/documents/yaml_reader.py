"""YAML 1.2's plain values, with positions.

No tags, no timestamps, no `yes` for true; an alias may be used, but not to blow up a document.
Values are built straight from the parser's events, so that a limit ends the reading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

import yaml

from penstock.documents.bounds import (
    MAX_DEPTH,
    MAX_DIGITS,
    Limits,
    too_deep,
    too_many_keys,
    too_many_values,
)
from penstock.documents.model import DocumentError, Place, Trail, place_of, pointer_of
from penstock.documents.places import Places, Spot

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # Python's own is 10 times slower
_PREFIX: Final = "tag:yaml.org,2002:"
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), "null"),
    **dict.fromkeys(("true", "True", "TRUE", "false", "False", "FALSE"), "bool"),
}


def from_yaml(text: str, limits: Limits) -> tuple[object, Places]:
    """The value of the one document in `text`, and where everything in it stands.

    Raises DocumentError.
    """
    try:
        return _Builder(yaml.parse(text, Loader=_LOADER), limits).document()
    except yaml.MarkedYAMLError as error:
        raise _broken(error, text) from error
    except yaml.reader.ReaderError as error:
        raise DocumentError(
            "broken_yaml",
            place=_place_of_byte(text, error.position),
            what=f"character U+{_code_point(error.character):04X} is not allowed",
        ) from error
    except RecursionError as error:
        raise too_deep() from error


Built = tuple[object, Spot]


class _Anchored(NamedTuple):
    """What an alias stands for: None while it is being built; and how many values are in it."""

    place: Place
    built: Built | None
    num_inner: int


class _Builder:
    """Turns events into values, noting places and counting what aliases expand to."""

    def __init__(self, events: Iterator[yaml.Event], limits: Limits) -> None:
        self._events = events
        self._limits = limits
        self._num_values = 0
        self._anchors: dict[str, _Anchored] = {}

    def document(self) -> tuple[object, Places]:
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None, Places(Spot(Place(1, 1)))
        value, spot = self._node(next(self._events), None, 0)
        next(self._events)  # the document's end
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise DocumentError(
                "broken_yaml", place=_place(after), what="expected a single document in the stream"
            )
        return value, Places(spot)

    def _node(self, event: yaml.Event, trail: Trail, depth: int) -> Built:
        self._count(event, depth)
        if isinstance(event, yaml.AliasEvent):
            return self._expanded(event, trail)
        assert isinstance(event, yaml.NodeEvent)
        before, anchor = self._num_values, event.anchor
        if anchor is None:
            return self._built(event, trail, depth)
        self._anchors[anchor] = _Anchored(_place(event), None, 0)
        built = self._built(event, trail, depth)
        self._anchors[anchor] = _Anchored(_place(event), built, self._num_values - before)
        return built

    def _count(self, event: yaml.Event, depth: int) -> None:
        self._num_values += 1
        if self._num_values > self._limits.num_values:
            raise too_many_values(self._limits.num_values).at(_place(event))
        if depth > MAX_DEPTH:
            raise too_deep().at(_place(event))

    def _expanded(self, event: yaml.AliasEvent, trail: Trail) -> Built:
        name = str(event.anchor)
        known = self._anchors.get(name)
        if known is None:
            what = f"found undefined alias {name[:80]!r}"
            raise DocumentError("broken_yaml", place=_place(event), what=what)
        if known.built is None:  # it stands inside of what it names
            raise too_deep().at(known.place)
        self._num_values += known.num_inner
        if self._num_values > self._limits.num_values:
            raise DocumentError(
                "too_many_aliases",
                place=_place(event),
                pointer=pointer_of(trail),
                most=self._limits.num_values,
            )
        return known.built

    def _built(self, event: yaml.Event, trail: Trail, depth: int) -> Built:
        kind = _kind(event)
        if isinstance(event, yaml.ScalarEvent) and kind in _READERS:
            return _scalar(kind, event, trail), Spot(_place(event))
        if isinstance(event, yaml.MappingStartEvent) and kind == "map":
            return self._mapping(event, trail, depth)
        if isinstance(event, yaml.SequenceStartEvent) and kind == "seq":
            return self._sequence(event, trail, depth)
        raise DocumentError(
            "tag_refused", place=_place(event), pointer=pointer_of(trail), tag=kind[:80]
        )

    def _mapping(self, start: yaml.Event, trail: Trail, depth: int) -> Built:
        made: dict[str, object] = {}
        spots: dict[str, Spot] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, place = _key(event, trail), _place(event)
            if key in made:
                first = spots[key].place.line
                raise DocumentError(
                    "duplicate_key",
                    place=place,
                    pointer=pointer_of((trail, key)),
                    key=key[:80],
                    first=first,
                )
            if len(made) == self._limits.num_keys:
                raise too_many_keys(len(made), trail).at(place)
            made[key], spot = self._node(next(self._events), (trail, key), depth + 1)
            # An error about a value is best shown at its key: that is where people look.
            spots[key] = Spot(place, spot.inner)
        return made, Spot(_place(start), spots)

    def _sequence(self, start: yaml.Event, trail: Trail, depth: int) -> Built:
        made: list[object] = []
        spots: dict[str, Spot] = {}
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            value, spot = self._node(event, (trail, len(made)), depth + 1)
            spots[str(len(made))] = spot
            made.append(value)
        return made, Spot(_place(start), spots)


def _kind(event: yaml.Event) -> str:
    """The tag, without the prefix of YAML's own; of plain text the one that it looks like."""
    tag = getattr(event, "tag", None)
    if tag is not None and tag != "!":
        return str(tag).removeprefix(_PREFIX)
    if isinstance(event, yaml.ScalarEvent):
        return _looks_like(event.value) if event.implicit[0] else "str"
    return "map" if isinstance(event, yaml.MappingStartEvent) else "seq"


def _looks_like(text: str) -> str:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789":
        return "str"
    if _INT.fullmatch(text):
        return "int"
    return "float" if _FLOAT.fullmatch(text) else "str"


def _key(event: yaml.Event, trail: Trail) -> str:
    if isinstance(event, yaml.ScalarEvent) and _kind(event) in _READERS:
        return str(event.value)
    raise DocumentError(
        "broken_yaml",
        place=_place(event),
        pointer=pointer_of(trail),
        what="it has a key that is not plain text",
    )


def _scalar(kind: str, event: yaml.ScalarEvent, trail: Trail) -> object:
    text = str(event.value)
    if kind == "str":
        return text
    if len(text) > MAX_DIGITS:
        raise _out_of_range(event, trail)
    try:
        value: object = _READERS[kind](text)
    except ValueError as error:
        raise DocumentError(
            "broken_yaml",
            place=_place(event),
            pointer=pointer_of(trail),
            what=f"it has a value that is no {kind}: {text}",
        ) from error
    if isinstance(value, float) and not math.isfinite(value):
        raise _out_of_range(event, trail)
    return value


def _out_of_range(event: yaml.ScalarEvent, trail: Trail) -> DocumentError:
    return DocumentError(
        "number_too_large", place=_place(event), pointer=pointer_of(trail), number=event.value[:20]
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


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": _number,
    "str": str,
}


def _place(event: yaml.Event) -> Place:
    assert event.start_mark is not None
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _broken(error: yaml.MarkedYAMLError, text: str) -> DocumentError:
    mark = error.problem_mark or error.context_mark
    place = place_of(text, len(text))
    if mark is not None:  # the end of the text is on no line after the last
        place = min(place, Place(mark.line + 1, mark.column + 1))
    return DocumentError("broken_yaml", place=place, what=str(error.problem))


def _place_of_byte(text: str, position: int) -> Place:
    before = text.encode()[:position].decode("utf-8", "replace")
    return place_of(before, len(before))
