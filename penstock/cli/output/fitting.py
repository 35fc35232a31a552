"""Makes a table narrow enough for a terminal: what can be spared goes first. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from penstock.cli.output.columns import Column
from penstock.cli.terminal.text import width

GAP: Final = "  "
ID_TAIL: Final = 8
_ID: Final = re.compile(r"[a-z]+_[0-9a-f]{32}")
_LIST: Final = re.compile(r"[^,\s]+(,[^,\s]+)+")
_MORE: Final = re.compile(r" \+\d+$")
_NARROWEST: Final = 8


class Grid(NamedTuple):
    """Columns and their cells as text."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]

    @property
    def widths(self) -> list[int]:
        return [
            max(width(text) for text in (column.title, *(row[index] for row in self.rows)))
            for index, column in enumerate(self.columns)
        ]

    @property
    def width(self) -> int:
        return sum(self.widths) + len(GAP) * (len(self.columns) - 1)


def fit(grid: Grid, max_width: int) -> Grid:
    """The same table in at most `max_width` columns of a terminal, if there is a way.

    First ids keep their end only and lists their first item, then columns that can be spared go,
    from the right; then the widest words are cut, numbers never.
    """
    steps: tuple[Callable[[Grid], Grid], ...] = (_with_short_ids, _with_short_lists)
    for step in steps:
        if grid.width <= max_width:
            return grid
        grid = step(grid)
    for index in _spare(grid):
        if grid.width <= max_width:
            return grid
        grid = _without(grid, index)
    return _with_short_words(grid, max_width)


def shorten(text: str, room: int) -> str:
    """The start of the text and an ellipsis, in at most `room` columns; ` +2` at its end stays."""
    if width(text) <= room:
        return text
    more = _MORE.search(text)
    if more is not None and len(more[0]) < room - 1:
        return shorten(text[: more.start()], room - len(more[0])) + more[0]
    taken = 0
    for index, char in enumerate(text):
        taken += width(char)
        if taken > room - 1:
            return text[:index] + "…"
    return text


def _with_short_ids(grid: Grid) -> Grid:
    return _each(grid, lambda cell: f"…{cell[-ID_TAIL:]}" if _ID.fullmatch(cell) else cell)


def _with_short_lists(grid: Grid) -> Grid:
    return _each(grid, _first_of)


def _first_of(cell: str) -> str:
    if _LIST.fullmatch(cell) is None:
        return cell
    first, *others = cell.split(",")
    return min(f"{first} +{len(others)}", cell, key=width)


def _each(grid: Grid, change: Callable[[str], str]) -> Grid:
    return Grid(grid.columns, [[change(cell) for cell in row] for row in grid.rows])


def _spare(grid: Grid) -> Iterator[int]:
    for index in range(len(grid.columns) - 1, -1, -1):
        if grid.columns[index].spare:
            yield index


def _without(grid: Grid, index: int) -> Grid:
    kept = [position for position in range(len(grid.columns)) if position != index]
    rows = [[row[position] for position in kept] for row in grid.rows]
    return Grid([grid.columns[position] for position in kept], rows)


def _with_short_words(grid: Grid, max_width: int) -> Grid:
    """The widest columns of words lose a little each, until all fit or nothing is left to cut."""
    room = grid.widths
    over = grid.width - max_width
    least = [
        max(width(column.title), _NARROWEST) if _is_words(row) else wide
        for column, row, wide in zip(grid.columns, _turned(grid), room, strict=True)
    ]
    while over > 0:
        widest = max(range(len(room)), key=lambda index: (room[index] > least[index], room[index]))
        if room[widest] <= least[widest]:
            break
        room[widest] -= 1
        over -= 1
    rows = [
        [shorten(cell, wide) for cell, wide in zip(row, room, strict=True)] for row in grid.rows
    ]
    return Grid(grid.columns, rows)


def _turned(grid: Grid) -> list[list[str]]:
    return [[row[index] for row in grid.rows] for index in range(len(grid.columns))]


def _is_words(cells: Sequence[str]) -> bool:
    return any(not cell[:1].isdigit() and cell != "-" for cell in cells)
