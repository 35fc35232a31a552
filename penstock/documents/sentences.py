"""Says in plain words what is wrong with a value, for every kind of error that our types raise.

Where the value stands, and which name was meant, is for `violations.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from penstock.api.ids import NAME_PATTERN, URL_PATTERN

Details = Mapping[str, Any]
"""One error in pydantic's words."""
UNKNOWN_KIND: Final = "is not a value that may stand here"
"""For kinds of errors that no type of ours raises; a test holds the types against the table."""

_A_TIME: Final = "must be a time such as 2026-01-31T12:00:00Z"
_A_WHOLE_NUMBER: Final = "must be a whole number"
_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is needed",
    "extra_forbidden": "is not known",
    "invalid_key": "must have text as its keys",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "path_type": "must be a path",
    "string_type": "must be text (put quotes around it)",
    "string_unicode": "must be text in UTF-8",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "int_type": _A_WHOLE_NUMBER,
    "int_parsing": _A_WHOLE_NUMBER,
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": _A_WHOLE_NUMBER,
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "datetime_type": _A_TIME,
    "datetime_parsing": _A_TIME,
    "datetime_object_invalid": _A_TIME,
    "datetime_from_date_parsing": _A_TIME,
}
_REF: Final = "lower-case letters, digits, dots, dashes and underscores"
_PATTERNS: Final[Mapping[str, str]] = {
    NAME_PATTERN: f"must be a name of {_REF}, with a letter or digit at both ends, at most 63 long",
    r"^[a-z0-9][a-z0-9._-]{0,127}$": f"must be a name of {_REF}, beginning with a letter or digit",
    r"^[A-Za-z_][A-Za-z0-9_]{0,127}$": "must be the name of a variable: letters, digits and "
    "underscores, not beginning with a digit",
    URL_PATTERN: "must be an address such as https://penstock.example:8470",
    r"^[a-z][a-z0-9_]{0,63}$": "must be a code: lower-case letters, digits and underscores, "
    "beginning with a letter",
    r"^/": "must be an absolute path, beginning with /",
    r"^https?://": "must begin with http:// or https://",
    r"^[0-9a-f]{64}$": "must be a SHA-256: 64 hexadecimal digits in lower case",
    r"^[\x21-\x7e]+$": "must be printable ASCII without spaces",
}


def sentence(details: Details) -> str:
    """What is wrong, to be put after the name of the place: `must be a whole number`.

    `details` is one of pydantic's error dictionaries.
    """
    kind, context = str(details["type"]), details.get("ctx") or {}
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error") or UNKNOWN_KIND)
    if kind in ("literal_error", "enum"):
        return f"must be {_or(words_expected(details))}"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"must look like {context['pattern']}")
    text = _SENTENCES.get(kind, UNKNOWN_KIND).format_map(
        {name: _plain(value) for name, value in context.items()}
    )
    return text.removesuffix("s") if text.endswith((" 1 items", " 1 characters")) else text


def words_expected(details: Details) -> list[str]:
    """The words that a literal or an enumeration would have taken."""
    expected = str(details["ctx"]["expected"]).replace(" or ", ", ")
    return [word.strip().strip("'") for word in expected.split(",")]


def is_worded(kind: str, pattern: str | None = None) -> bool:
    """Whether there is a sentence of its own for this kind of error, or for this pattern."""
    if pattern is not None:
        return pattern in _PATTERNS
    own = ("value_error", "assertion_error", "literal_error", "enum", "string_pattern_mismatch")
    return kind in _SENTENCES or kind in own


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _plain(value: object) -> str:
    """Numbers without a decimal point that says nothing."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
