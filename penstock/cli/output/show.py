"""Shows results the way `-o`, `-w` and `-q` ask for."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeVar

from penstock.cli.following.watch import Watch
from penstock.cli.options import Format
from penstock.cli.output.columns import Column
from penstock.cli.output.tables import details, table
from penstock.cli.terminal.console import Console
from penstock.cli.terminal.text import escape_json
from penstock.client.requests import Document

TICK_S: Final = 1.0
JITTER_S: Final = 0.25
"""Those who watch the same do not all ask at once."""
FoundT = TypeVar("FoundT")
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
    watch: Watch | None = None,
) -> None:
    """Shows a list once, or with `watch` again at every change until interrupted."""

    def shown(documents: Sequence[Document]) -> Shown:
        now, wide = datetime.now(UTC), form == Format.WIDE
        if quiet or form == Format.NAME:
            names = "\n".join(_short(it, quiet) for it in documents)
            return Shown(names, names)
        if form in _DATA:
            text = data_text(console, list(documents), form, compact=watch is not None)
            return Shown(text, steady(list(documents)))
        text = table(
            documents, columns, now=now, wide=wide, max_width=console.columns, paint=console.color
        )
        kept = [column for column in columns if not column.ticks]
        return Shown(text, table(documents, kept, now=now, wide=wide))

    show_text(console, fetch, shown, watch)


def show_one(
    console: Console,
    fetch: Callable[[], Document],
    form: Format,
    *,
    quiet: bool = False,
    watch: Watch | None = None,
) -> None:
    """Shows one object with all its fields."""

    def shown(document: Document) -> Shown:
        if quiet or form == Format.NAME:
            return Shown(_short(document, quiet), _short(document, quiet))
        if form in _DATA:
            return Shown(
                data_text(console, document, form, compact=watch is not None), steady(document)
            )
        return Shown(details(document, paint=console.color), steady(document))

    show_text(console, fetch, shown, watch)


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


def show_text(
    console: Console,
    fetch: Callable[[], FoundT],
    render: Callable[[FoundT], Shown],
    watch: Watch | None,
) -> None:
    """Prints the text once, or with `watch` again at every change, until interrupted."""
    if watch is None:
        if text := render(fetch()).text:
            console.result(text)
        return
    with watch:
        while not watch.wait(TICK_S):
            pass
        _watch(console, fetch, render, watch)


def _watch(
    console: Console, fetch: Callable[[], FoundT], render: Callable[[FoundT], Shown], watch: Watch
) -> None:
    """On a terminal ages go on counting; elsewhere something must have changed but the time."""
    on_terminal = console.out_is_terminal
    before: Shown | None = None
    found = fetch()
    while True:
        shown = render(found)
        if before is None or _has_changed(before, shown, on_terminal):
            console.result(_CLEAR + shown.text if on_terminal else shown.text)
            before = shown
        if watch.wait(TICK_S if on_terminal else None):
            time.sleep(random.uniform(0.0, JITTER_S))
            found = fetch()


def steady(value: Any) -> Any:
    """The document without what changes because time goes by."""
    if isinstance(value, dict):
        return {name: steady(one) for name, one in value.items() if name not in _TICKING}
    return [steady(one) for one in value] if isinstance(value, list) else value


def _has_changed(before: Shown, after: Shown, on_terminal: bool) -> bool:
    return before.text != after.text if on_terminal else before.steady != after.steady


def _short(document: Document, quiet: bool) -> str:
    return str(document["id"] if quiet else document.get("name") or document["id"])
