"""Shows results the way `-o`, `-w` and `-q` ask for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from penstock.cli.options import Format
from penstock.cli.output.columns import Column
from penstock.cli.output.tables import details, table
from penstock.cli.terminal.console import Console
from penstock.cli.terminal.text import escape_json
from penstock.client.requests import Document

WATCH_INTERVAL_S: Final = 1.0
_CLEAR: Final = "\x1b[H\x1b[2J"
_DATA: Final = (Format.JSON, Format.YAML)
# What changes because time goes by, and because a process breathes.
_TICKING: Final = frozenset(
    {"waited_s", "ran_s", "oldest_wait_s", "last_heartbeat_at", "as_of", "etag", "memory_bytes"}
)


class Shown(NamedTuple):
    """What is shown, and the part of it by which a watcher sees that something has changed."""

    text: str
    steady: object


def show_list(
    console: Console,
    fetch: Callable[[], Sequence[Document]],
    columns: Sequence[Column],
    form: Format,
    *,
    quiet: bool = False,
    watch: bool = False,
) -> None:
    """Shows a list once, or with `watch` again at every change until interrupted."""

    def shown() -> Shown:
        documents, now, wide = fetch(), datetime.now(UTC), form == Format.WIDE
        if quiet or form == Format.NAME:
            names = "\n".join(_short(it, quiet) for it in documents)
            return Shown(names, names)
        if form in _DATA:
            text = data_text(console, list(documents), form, compact=watch)
            return Shown(text, steady(list(documents)))
        text = table(
            documents, columns, now=now, wide=wide, max_width=console.columns, paint=console.color
        )
        kept = [column for column in columns if not column.ticks]
        return Shown(text, table(documents, kept, now=now, wide=wide))

    show_text(console, shown, watch)


def show_one(
    console: Console,
    fetch: Callable[[], Document],
    form: Format,
    *,
    quiet: bool = False,
    watch: bool = False,
) -> None:
    """Shows one object with all its fields."""

    def shown() -> Shown:
        document = fetch()
        if quiet or form == Format.NAME:
            return Shown(_short(document, quiet), _short(document, quiet))
        if form in _DATA:
            return Shown(data_text(console, document, form, compact=watch), steady(document))
        return Shown(details(document, paint=console.color), steady(document))

    show_text(console, shown, watch)


def show_data(console: Console, value: object, form: Format) -> bool:
    """Shows it as JSON or YAML; False where neither was asked for."""
    if form in _DATA:
        console.result(data_text(console, value, form))
    return form in _DATA


def show_short(console: Console, made: Document, form: Format, quiet: bool) -> bool:
    """Shows what was made as data, or its name or id alone; False where none was asked for."""
    if show_data(console, made, form):
        return True
    if quiet or form == Format.NAME:
        console.result(_short(made, quiet))
    return quiet or form == Format.NAME


def data_text(console: Console, value: object, form: Format, *, compact: bool = False) -> str:
    """JSON or YAML. JSON is one line where a program reads it: its first line is all of it."""
    if form == Format.YAML:
        import yaml  # only here: it takes time to import

        return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")
    indent = 2 if console.out_is_terminal and not compact else None
    return escape_json(json.dumps(value, indent=indent, ensure_ascii=False))


def show_text(console: Console, fetch: Callable[[], Shown], watch: bool) -> None:
    """Prints the text once, or with `watch` again at every change, until interrupted.

    On a terminal ages go on counting; elsewhere something must have changed but the time.
    """
    shown = fetch()
    if shown.text:
        console.result(_framed(console, shown.text, watch))
    while watch:
        time.sleep(WATCH_INTERVAL_S)
        following = fetch()
        if _has_changed(shown, following, console.out_is_terminal):
            shown = following
            console.result(_framed(console, shown.text, watch))


def steady(value: Any) -> Any:
    """The document without what changes because time goes by."""
    if isinstance(value, dict):
        return {name: steady(one) for name, one in value.items() if name not in _TICKING}
    return [steady(one) for one in value] if isinstance(value, list) else value


def _has_changed(before: Shown, after: Shown, on_terminal: bool) -> bool:
    return before.text != after.text if on_terminal else before.steady != after.steady


def _short(document: Document, quiet: bool) -> str:
    return str(document["id"] if quiet else document.get("name") or document["id"])


def _framed(console: Console, text: str, watch: bool) -> str:
    return _CLEAR + text if watch and console.out_is_terminal else text
