"""Where a reader of a job's logs stands: an offset per replica, as one opaque word."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from control_plane.errors import Invalid
from control_plane.store.repositories.replicas import LogEnd
from penstock.catalogue.violation import violation

MAX_LENGTH: Final = 1_000_000
_ENTRY: Final = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})=(\d{1,18})")


class Spot(NamedTuple):
    """Which replica: unique within a job, and shorter than its id."""

    gang: int
    attempt: int
    rank: int


def spot_of(log: LogEnd) -> Spot:
    return Spot(log.gang, log.attempt, log.rank)


def entries(offsets: Mapping[Spot, int]) -> str:
    """The inner form, one entry per replica, each with a comma behind it."""
    return "".join(
        f"{spot.gang}.{spot.attempt}.{spot.rank}={offset},"
        for spot, offset in offsets.items()
        if offset
    )


def seal(inner: str) -> str:
    """The opaque word around entries."""
    return base64.urlsafe_b64encode(f"1;{inner}".encode()).decode().rstrip("=")


def decode(word: str) -> dict[Spot, int]:
    """The offsets in a word of ours; raises Invalid on any other."""
    try:
        padded = word + "=" * (-len(word) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    version, _, inner = text.partition(";")
    parts = [_ENTRY.fullmatch(part) for part in inner.split(",") if part]
    if version != "1" or len(word) > MAX_LENGTH or None in parts:
        raise bad_position(word)
    return {Spot(int(part[1]), int(part[2]), int(part[3])): int(part[4]) for part in parts if part}


def bad_position(word: str) -> Invalid:
    """The error for a Last-Event-ID that is none of this stream's."""
    wrong = violation("Last-Event-ID", "not_ours", received=word[:80])
    return Invalid("bad_last_event_id", violations=[wrong])
