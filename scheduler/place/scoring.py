"""Soft preferences: which chip types a gang would rather have. Ties are explicit and end in the
type's name; among nodes of one type `fits` packs, ending in the node's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.model import Chip, Gang, HostShare, Speeds
from scheduler.place.feasibility import Eligible, matches
from scheduler.snapshot.host import NOTHING
from scheduler.snapshot.places import Places
from scheduler.throughput import expected_speed


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chip type for a gang. Candidates of one level differ only in speed and tie-breaks."""

    chip_type: str | None
    """None: host cores only."""
    places: Places
    level: tuple[int, int] = (0, 0)
    """(siblings on it where they should spread, place in the wish): lower is better."""
    speed: float | None = None
    """Expected, per whole chip; None: unknown."""
    share: HostShare = NOTHING
    """What one whole chip takes of its host."""


def candidates(
    gang: Gang, eligible: Eligible, speeds: Speeds, siblings: Mapping[str, int]
) -> list[Candidate]:
    """The types that can hold a member, best first.

    Fewest siblings (where they spread), then the place in the wish. Then speed, if it is known
    of every type of the wish; else real before emulated, devices before the host's own
    processors, and only then speed, so that a device nobody measured yet is not passed over.
    Last the least memory that does, and the name.
    """
    found = []
    for chip_type, places in eligible.items():
        if chip_type is None:
            return [Candidate(None, places)]
        if not len(places.rows):
            continue
        row = int(places.rows[0])
        chip, layout = places.layout.chips[row], places.layout
        spread = siblings.get(chip_type, 0) if gang.spread else 0
        rate = expected_speed(gang.work, chip_type, speeds)
        share = HostShare(int(layout.share_cores[row]), int(layout.share_memory[row]))
        level = (spread, _rank(chip, gang.request.wish))
        speed = None if rate is None else rate.value
        found.append((chip, Candidate(chip_type, places, level, speed, share)))
    all_known = all(it.speed is not None for _, it in found)

    def key(option: tuple[Chip, Candidate]) -> tuple[object, ...]:
        chip, it = option
        kind = (False, False) if all_known else (chip.emulated, chip.is_processor)
        speed = (it.speed is None, -(it.speed or 0.0))
        return (it.level, kind, speed, chip.emulated, chip.memory_bytes or 0, chip.type)

    return [candidate for _, candidate in sorted(found, key=key)]


def thriftiest(found: list[Candidate]) -> list[Candidate]:
    """The same types by what a chip takes of its host, least first: in this order most members
    fit where types share a host's cores.
    """
    return sorted(found, key=lambda it: (it.share.cores_milli, it.share.memory_bytes))


def throughput(candidate: Candidate, members: int) -> float:
    """Expected speed of so many members; their number where no speed is known."""
    return members * (candidate.speed or 1.0)


def _rank(chip: Chip, wish: tuple[str, ...]) -> int:
    """Place of the first word of the wish that means this chip."""
    return next(place for place, word in enumerate(wish) if matches(chip, word))
