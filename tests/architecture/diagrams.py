"""State diagrams in docs/architecture.md read back as transition tables, to compare with code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from enum import StrEnum
from typing import Final, TypeVar

StateT = TypeVar("StateT", bound=StrEnum)

Edges = frozenset[tuple[str, str]]

_DIAGRAM: Final = re.compile(
    r"^#{2,4} +(?P<title>[^\n]+)\n(?:(?!^#)(?!^```mermaid)[^\n]*\n)*?"
    r"^```mermaid\nstateDiagram-v2\n(?P<body>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
_EDGE: Final = re.compile(r"^\s*(\S+)\s*-->\s*(\S+?)\s*(?::.*)?$")
_OUTSIDE: Final = "[*]"


def diagrams(markdown: str) -> dict[str, Edges]:
    """Heading → edges of the state diagram below it; [*] marks the beginning and the end."""
    return {match["title"].strip(): _edges(match["body"]) for match in _DIAGRAM.finditer(markdown)}


def moves(edges: Edges) -> Edges:
    """The edges between states proper."""
    return frozenset(edge for edge in edges if _OUTSIDE not in edge)


def ends(edges: Edges) -> frozenset[str]:
    """The states that the diagram lets go to the end."""
    return frozenset(source for source, target in edges if target == _OUTSIDE)


def table_moves(table: Mapping[StateT, Set[StateT]]) -> Edges:
    """The same of a transition table."""
    return frozenset((s.value, t.value) for s, targets in table.items() for t in targets)


def table_ends(table: Mapping[StateT, Set[StateT]]) -> frozenset[str]:
    """States that nothing leads out of."""
    states = {*table, *(state for targets in table.values() for state in targets)}
    return frozenset(state.value for state in states if not table.get(state))


def _edges(body: str) -> Edges:
    return frozenset(_matches(body.splitlines()))


def _matches(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        if match := _EDGE.match(line):
            yield match[1], match[2]
