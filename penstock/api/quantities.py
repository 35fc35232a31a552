"""Quantities as users write them: memory (`16GiB`), durations (`2h`), chip counts (`2..8`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

_MEMORY_UNITS: Final = {
    "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip
_DURATION_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "ms": 0.001}
MAX_MEMORY_BYTES: Final = 2**53
DAY_S: Final = 86400.0
MAX_DURATION_S: Final = 3650 * DAY_S

# How quantities may be written, for the JSON schema of what users send; the parsers decide.
_MEMORY_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": MAX_MEMORY_BYTES},
        {"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,6})?([KMG]i?)?B(\.\.)?$"},
    ],
    "examples": ["16GiB"],
}
COUNT_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 100_000},
        {"type": "string", "pattern": r"^([0-9]{1,5}|[0-9]{1,2}\.\.[0-9]{3,5})$"},
        {
            "type": "object",
            "properties": {"least": {"type": "integer"}, "most": {"type": "integer"}},
            "required": ["least", "most"],
        },
    ],
    "examples": [4, "2..8"],
}


def parse_memory(value: object) -> object:
    """Bytes from `16GiB`, `16GiB..` (at least) or a plain integer; raises ValueError."""
    if isinstance(value, int | float) or value is None:
        return value
    value = value if isinstance(value, str) else ""
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]{1,3})\s*(?:\.\.)?\s*", value)
    factor = _MEMORY_UNITS.get(match[2].upper()) if match else None
    if match is None or factor is None:
        raise ValueError("must be a size such as 512MiB or 16GiB")
    return int(float(match[1]) * factor)


def parse_duration(value: object) -> object:
    """Seconds from `90s`, `2h`, `1h30m` or a plain number; raises ValueError."""
    if isinstance(value, int | float) or value is None:
        return value
    value = value if isinstance(value, str) else ""
    parts = re.findall(r"(\d{1,12}(?:\.\d{1,6})?)(ms|[smhd])", value.strip())
    if not parts or "".join(number + unit for number, unit in parts) != value.strip():
        raise ValueError("must be a duration such as 90s, 2h or 1h30m")
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)


def parse_count(value: object) -> object:
    """A (least, most) pair from `4` or `2..8`; raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    if isinstance(value, dict):
        return value
    text = value if isinstance(value, str) else ""
    match = re.fullmatch(r"\s*(\d{1,6})(?:\s*\.\.\s*(\d{1,6}))?\s*", text)
    if match is None:
        raise ValueError("must be a count such as 4 or a range such as 2..8")
    return (int(match[1]), int(match[2] or match[1]))


def show_duration(seconds: float) -> str:
    """`30s`, `1h30m`, `3650d`: as `parse_duration` reads it, in whole units."""
    parts, left = [], int(seconds)
    for unit in "dhms":
        count, left = divmod(left, int(_DURATION_UNITS[unit]))
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or f"{seconds:g}s"


def _within(least: float, most: float, show: Callable[[float], str]) -> AfterValidator:
    """Refuses what is not in the range, both ends included; NaN too."""

    def check(value: float) -> float:
        if not least <= value <= most:
            raise ValueError(f"must be between {show(least)} and {show(most)}")
        return value

    return AfterValidator(check)


def _duration_schema(least_s: float, most_s: float) -> WithJsonSchema:
    """How a duration may be written; which of those texts are in range, the parser decides."""
    number = {"type": "number", "minimum": least_s, "maximum": most_s}
    text = {"type": "string", "pattern": r"^([0-9]{1,3}(\.[0-9]{1,6})?(ms|s|m|h|d)){1,4}$"}
    schema = {"anyOf": [number, text], "examples": [show_duration(min(5400.0, most_s))]}
    return WithJsonSchema(schema, mode="validation")


MemoryBytes = Annotated[
    int,
    BeforeValidator(parse_memory),
    _within(0, MAX_MEMORY_BYTES, lambda size: f"{size / 2**40:g}TiB" if size else "0B"),
    WithJsonSchema(_MEMORY_SCHEMA, mode="validation"),
]
DurationS = Annotated[
    float,
    BeforeValidator(parse_duration),
    _within(1.0, MAX_DURATION_S, show_duration),
    _duration_schema(1.0, MAX_DURATION_S),
]
GraceS = Annotated[
    float,
    BeforeValidator(parse_duration),
    _within(30.0, DAY_S, show_duration),
    _duration_schema(30.0, DAY_S),
]
JoinTimeS = Annotated[
    float,
    BeforeValidator(parse_duration),
    _within(1.0, 3600.0, show_duration),
    _duration_schema(1.0, 3600.0),
]
