"""Quantities as users write them: memory (`16GiB`), durations (`2h`), chip counts (`2..8`)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

_MEMORY_UNITS: Final = {
    "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip
_DURATION_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "ms": 0.001}
MAX_MEMORY_BYTES: Final = 2**53
MAX_DURATION_S: Final = 10 * 365 * 86400.0

# How quantities may be written, for the JSON schema of what users send; the parsers decide.
_MEMORY_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": MAX_MEMORY_BYTES},
        {"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,6})?([KMG]i?)?B(\.\.)?$"},
    ],
    "examples": ["16GiB"],
}
_DURATION_SCHEMA: Final = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": MAX_DURATION_S},
        {"type": "string", "pattern": r"^([0-9]{1,3}(\.[0-9]{1,6})?(ms|s|m|h|d)){1,4}$"},
    ],
    "examples": ["1h30m"],
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


def parse_memory(value: Any) -> Any:
    """Bytes from `16GiB`, `16GiB..` (at least) or a plain integer; raises ValueError."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]{1,3})\s*(?:\.\.)?\s*", value)
    factor = _MEMORY_UNITS.get(match[2].upper()) if match else None
    if match is None or factor is None:
        raise ValueError("must be a size such as 512MiB or 16GiB")
    return int(float(match[1]) * factor)


def parse_duration(value: Any) -> Any:
    """Seconds from `90s`, `2h`, `1h30m` or a plain number; raises ValueError."""
    if not isinstance(value, str):
        return value
    parts = re.findall(r"(\d{1,12}(?:\.\d{1,6})?)(ms|[smhd])", value.strip())
    if not parts or "".join(number + unit for number, unit in parts) != value.strip():
        raise ValueError("must be a duration such as 90s, 2h or 1h30m")
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)


def parse_count(value: Any) -> Any:
    """A (least, most) pair from `4` or `2..8`; raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d{1,6})(?:\s*\.\.\s*(\d{1,6}))?\s*", value)
        if match is None:
            raise ValueError("must be a count such as 4 or a range such as 2..8")
        return (int(match[1]), int(match[2] or match[1]))
    return value


MemoryBytes = Annotated[
    int,
    BeforeValidator(parse_memory),
    Field(ge=0, le=MAX_MEMORY_BYTES),
    WithJsonSchema(_MEMORY_SCHEMA, mode="validation"),
]
DurationS = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(ge=0, le=MAX_DURATION_S),
    WithJsonSchema(_DURATION_SCHEMA, mode="validation"),
]
