"""Shows results the way `-o`, `-w` and `-q` ask for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from penstock.cli.columns import Column, Document
from penstock.cli.console import Console
from penstock.cli.options import Format
from penstock.cli.tables import details, table
from penstock.cli.text import escape_json

WATCH_INTERVAL_S: Final = 1.0
_CLEAR: Final = "\x1b[H\x1b[2J"
_DATA: Final = (Format.JSON, Format.YAML)


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

    def text() -> str:
        documents = fetch()
        if quiet or form == Format.NAME:
            return "\n".join(_short(it, quiet) for it in documents)
        if form in _DATA:
            return data_text(console, list(documents), form, compact=watch)
        return table(
            documents,
            columns,
            now=datetime.now(UTC),
            wide=form == Format.WIDE,
            max_width=console.columns,
            paint=console.color,
        )

    show_text(console, text, watch)


def show_one(
    console: Console,
    fetch: Callable[[], Document],
    form: Format,
    *,
    quiet: bool = False,
    watch: bool = False,
) -> None:
    """Shows one object with all its fields."""

    def text() -> str:
        document = fetch()
        if quiet or form == Format.NAME:
            return _short(document, quiet)
        if form in _DATA:
            return data_text(console, document, form, compact=watch)
        return details(document, paint=console.color)

    show_text(console, text, watch)


def data_text(console: Console, value: object, form: Format, *, compact: bool = False) -> str:
    """JSON or YAML. JSON is one line where a program reads it: its first line is all of it."""
    if form == Format.YAML:
        import yaml  # only here: it takes time to import

        return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")
    indent = 2 if console.out_is_terminal and not compact else None
    return escape_json(json.dumps(value, indent=indent, ensure_ascii=False))


def show_text(console: Console, text: Callable[[], str], watch: bool) -> None:
    """Prints the text once, or with `watch` again whenever it is another, until interrupted."""
    shown = text()
    if shown:
        console.result(_framed(console, shown, watch))
    while watch:
        time.sleep(WATCH_INTERVAL_S)
        following = text()
        if following != shown:
            shown = following
            console.result(_framed(console, shown, watch))


def _short(document: Document, quiet: bool) -> str:
    return str(document["id"] if quiet else document.get("name") or document["id"])


def _framed(console: Console, text: str, watch: bool) -> str:
    return _CLEAR + text if watch and console.out_is_terminal else text
