"""Lays documents out as tables. Pure: the width and the time are arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from penstock.cli.output.columns import Column
from penstock.cli.output.fitting import GAP, Grid, fit, shorten
from penstock.cli.terminal.text import STATE_COLORS, clean, width
from penstock.client.requests import Document
from penstock.words import quantity

Paint = Callable[[str, str], str]
WAS_CUT = "-o wide shows all"


def table(
    documents: Iterable[Document],
    columns: Sequence[Column],
    *,
    now: datetime,
    wide: bool = False,
    max_width: int = 10_000,
    paint: Paint = lambda text, color: text,
) -> str:
    """A header and one line per document; states in their colours.

    What is wider than `max_width` is made to fit, with a last line that says so; with `wide`,
    nothing is left out or cut.
    """
    shown = [column for column in columns if wide or not column.wide]
    whole = Grid(shown, [[_cell(column, one, now) for column in shown] for one in documents])
    room = max(whole.width, max_width) if wide else max_width
    fitted = fit(whole, room)
    header = _line([column.title for column in fitted.columns], fitted.widths, room, _plain)
    lines = [header, *(_line(row, fitted.widths, room, paint) for row in fitted.rows)]
    return "\n".join([*lines, WAS_CUT] if whole.width > room else lines)


def details(document: Document, *, paint: Paint = lambda text, color: text) -> str:
    """One object, a field a line, nested ones indented; empty ones are left out."""
    return "\n".join(_details(document, "", paint))


def _cell(column: Column, document: Document, now: datetime) -> str:
    value = column.cell(document, now)
    return "-" if value is None or value == "" else clean(str(value))


def _line(cells: Sequence[str], widths: Sequence[int], max_width: int, paint: Paint) -> str:
    padded = [cell + " " * (wide - width(cell)) for cell, wide in zip(cells, widths, strict=True)]
    plain = GAP.join(padded).rstrip()
    if width(plain) > max_width:
        return shorten(plain, max(max_width, 2))
    painted = [
        pad.replace(cell, paint(cell, STATE_COLORS[cell]), 1) if cell in STATE_COLORS else pad
        for cell, pad in zip(cells, padded, strict=True)
    ]
    return GAP.join(painted).rstrip()


def _plain(text: str, color: str) -> str:
    return text


def _details(document: Document, indent: str, paint: Paint) -> Iterable[str]:
    names = [name for name, value in document.items() if value not in (None, "", [], {})]
    longest = max((len(name) for name in names), default=0)
    for name in names:
        value = document[name]
        if isinstance(value, dict) and {"value", "unit"} <= value.keys():
            rate = quantity(value["value"], value["unit"])
            value = {**value, "value": rate, "unit": None}
        if isinstance(value, dict):
            yield f"{indent}{clean(name)}:"
            yield from _details(value, indent + "  ", paint)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield f"{indent}{clean(name)}:"
            for item in value:
                lines = list(_details(item, "", paint)) if isinstance(item, dict) else [str(item)]
                yield from (
                    f"{indent}  {'- ' if first == 0 else '  '}{line}"
                    for first, line in enumerate(lines)
                )
        else:
            yield f"{indent}{clean(name)}:{' ' * (longest - len(name))} {_value(value, paint)}"


def _value(value: object, paint: Paint) -> str:
    if isinstance(value, list):
        return ", ".join(clean(str(item)) for item in value)
    if isinstance(value, bool):
        value = "yes" if value else "no"
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    text = clean(str(value))
    return paint(text, STATE_COLORS[text]) if text in STATE_COLORS else text
