"""Fills in the text of a message. `{name}` is a parameter, `{name:format}` one of FORMATS,
`{name:one|many}` a word by number; what is in `[brackets]` is left out where a parameter is empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from penstock.api.messages import Message
from penstock.catalogue.accounts import ACCOUNTS
from penstock.catalogue.jobs import JOBS
from penstock.catalogue.nodes import NODES
from penstock.catalogue.problems import HINTS, PROBLEMS
from penstock.catalogue.values import DOCUMENTS, VALUES
from penstock.words import thousandths

if TYPE_CHECKING:
    from pydantic import JsonValue  # takes time to import

TABLES: Final = (JOBS, NODES, ACCOUNTS, PROBLEMS, VALUES, DOCUMENTS)
TEXTS: Final[Mapping[str, str]] = {code: text for one in TABLES for code, text in one.items()}
PARAMETER: Final = re.compile(r"\{(\w+)(?::([^}]*))?\}")
OPTIONAL: Final = re.compile(r"\[([^\]]*)\]")


def render(message: Message) -> str:
    """In English. A code of a newer version is shown as it is."""
    return fill(TEXTS.get(message.code, message.code), message.params)


def render_hint(message: Message) -> str | None:
    """What to do next, where the catalogue knows."""
    return fill(HINTS.get(message.code, ""), message.params) or None


def fill(text: str, params: Mapping[str, JsonValue]) -> str:
    """The text with its parameters."""

    def part(match: re.Match[str]) -> str:
        names = [it[1] for it in PARAMETER.finditer(match[1])]
        return match[1] if all(params.get(it) not in (None, "", [], {}) for it in names) else ""

    def value(match: re.Match[str]) -> str:
        return _written(params.get(match[1]), match[2] or "")

    return PARAMETER.sub(value, OPTIONAL.sub(part, text))


def _written(value: JsonValue, form: str) -> str:
    if "|" in form:
        one, many = form.split("|")
        return one if value == 1 else many
    return FORMATS[form](value)


def _plain(value: JsonValue) -> str:
    """A message among them is rendered; of several, all."""
    if isinstance(value, list):
        return "; ".join(map(_plain, value))
    if isinstance(value, dict):
        params = value["params"]
        return render(Message(str(value["code"]), params if isinstance(params, dict) else {}))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(value: JsonValue) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _or(value: JsonValue) -> str:
    words = [str(it) for it in value] if isinstance(value, list) else [str(value)]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _chips(value: JsonValue) -> str:
    """`1 × emulated-a100, 0.5 × emulated-910b`, of type → thousandths."""
    held = value if isinstance(value, dict) else {}
    return ", ".join(f"{thousandths(int(str(it)))} × {kind}" for kind, it in sorted(held.items()))


def _limits(value: JsonValue) -> str:
    limits = value if isinstance(value, dict) else {}
    return ", ".join(f"{kind}: {most}" for kind, most in sorted(limits.items())) or "none"


def _moment(pattern: str) -> Callable[[JsonValue], str]:
    return lambda value: f"{datetime.fromisoformat(str(value)):{pattern}} UTC"


FORMATS: Final[Mapping[str, Callable[[JsonValue], str]]] = {
    "": _plain,
    "listed": _listed,
    "chips": _chips,
    "limits": _limits,
    "quoted": repr,
    "or": _or,
    "g": lambda value: f"{value:g}",
    "words": lambda value: str(value).replace("_", " "),
    "time": _moment("%H:%M:%S"),
    "moment": _moment("%Y-%m-%d %H:%M:%S"),
}
