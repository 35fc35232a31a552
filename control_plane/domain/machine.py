"""What every transition table shares: checking a move, and the shortest way to a state."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Set
from enum import StrEnum
from typing import TypeVar

StateT = TypeVar("StateT", bound=StrEnum)
Table = Mapping[StateT, Set[StateT]]


class IllegalMove(ValueError):
    """A transition that the table does not have."""


def check_move(table: Table[StateT], source: StateT, target: StateT) -> None:
    """Raises IllegalMove unless the table allows source → target."""
    if target not in table.get(source, frozenset()):
        raise IllegalMove(f"{type(source).__name__}: {source} → {target} is not allowed")


def route(table: Table[StateT], source: StateT, target: StateT) -> tuple[StateT, ...] | None:
    """The states to pass through on the shortest way, target included; None if there is none.

    Observations may be lost: a replica seen as exited was running before, seen or not.
    """
    if source == target:
        return ()
    came_from: dict[StateT, StateT] = {}
    frontier = deque([source])
    while frontier:
        state = frontier.popleft()
        for following in sorted(table.get(state, frozenset())):
            if following in came_from or following == source:
                continue
            came_from[following] = state
            if following == target:
                return _walk_back(came_from, source, target)
            frontier.append(following)
    return None


def is_terminal(table: Table[StateT], state: StateT) -> bool:
    """Terminal states absorb: nothing leads out of them."""
    return not table.get(state)


def _walk_back(
    came_from: Mapping[StateT, StateT], source: StateT, target: StateT
) -> tuple[StateT, ...]:
    path = [target]
    while came_from[path[-1]] != source:
        path.append(came_from[path[-1]])
    return tuple(reversed(path))
