"""Says in plain words what is wrong with a value, for every kind of error that our types raise.

Where the value stands, and which name was meant, is for `violations.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import JsonValue

from penstock.api.ids import NAME_PATTERN, URL_PATTERN
from penstock.api.messages import Message, said, say
from penstock.catalogue.render import PARAMETER, render
from penstock.catalogue.values import VALUES

Details = Mapping[str, Any]
"""One error in pydantic's words."""
_PATTERNS: Final[Mapping[str, str]] = {
    NAME_PATTERN: "name_pattern",
    r"^[a-z0-9][a-z0-9._-]{0,127}$": "word_pattern",
    r"^[A-Za-z_][A-Za-z0-9_]{0,127}$": "variable_pattern",
    URL_PATTERN: "url_pattern",
    r"^[a-z][a-z0-9_]{0,63}$": "code_pattern",
    r"^/": "absolute_pattern",
    r"^https?://": "http_pattern",
    r"^[0-9a-f]{64}$": "sha256_pattern",
    r"^[\x21-\x7e]+$": "ascii_pattern",
}


def message_of(details: Details) -> Message:
    """What is wrong, to be put after the name of the place: `must be a whole number`.

    `details` is one of pydantic's error dictionaries.
    """
    kind, context = str(details["type"]), details.get("ctx") or {}
    if kind in ("value_error", "assertion_error") and context.get("error"):
        return said(str(context["error"]))
    if kind in ("literal_error", "enum"):
        return say("one_of", words=words_expected(details))
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        known = _PATTERNS.get(pattern)
        return say(known) if known else say("string_pattern_mismatch", pattern=pattern)
    if kind not in VALUES:
        return say("not_a_value")
    wanted = {it[1] for it in PARAMETER.finditer(VALUES[kind])}
    return Message(kind, {it: _plain(value) for it, value in context.items() if it in wanted})


def sentence(details: Details) -> str:
    """The same in English."""
    return render(message_of(details))


def words_expected(details: Details) -> list[str]:
    """The words that a literal or an enumeration would have taken."""
    expected = str(details["ctx"]["expected"]).replace(" or ", ", ")
    return [word.strip().strip("'") for word in expected.split(",")]


def is_worded(kind: str, pattern: str | None = None) -> bool:
    """Whether there is a sentence of its own for this kind of error, or for this pattern."""
    if pattern is not None:
        return pattern in _PATTERNS
    own = ("value_error", "assertion_error", "literal_error", "enum", "string_pattern_mismatch")
    return kind in VALUES or kind in own


def _plain(value: object) -> JsonValue:
    """Numbers without a decimal point that says nothing."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | float) else str(value)
