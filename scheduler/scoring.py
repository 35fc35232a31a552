"""Soft preferences: which chip types a gang would rather have. Ties are explicit and end in the
type's name; among nodes of one type `fits` packs, ending in the node's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.feasibility import matches
from scheduler.host import NOTHING
from scheduler.model import Chip, Gang, HostShare
from scheduler.snapshot import Index
from scheduler.throughput import expected_speed


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chip type for a gang. Candidates of one level differ only in speed and tie-breaks."""

    chip_type: str | None
    """None: host cores only."""
    level: tuple[int, int] = (0, 0)
    """(siblings on it where they should spread, place in the wish): lower is better."""
    speed: float | None = None
    """Expected, per whole chip; None: unknown."""
    share: HostShare = NOTHING
    """What one whole chip takes of its host."""


def candidates(gang: Gang, index: Index, siblings: Mapping[str, int]) -> list[Candidate]:
    """The types that match the wish, best first: fewest siblings (where they spread), place in
    the wish, measured or expected speed, real before emulated, least memory that does.
    """
    if not gang.request.chips:
        return [Candidate(None)]
    ranked = []
    for chip_type, where in index.positions.items():
        site, positions = where[0]
        chip = index.chip(site, positions[0])
        rank = _rank(chip, gang.request.wish)
        if rank is None:
            continue
        spread = siblings.get(chip_type, 0) if gang.spread else 0
        rate = expected_speed(gang.work, chip_type, index.snapshot.speeds)
        speed = None if rate is None else rate.value
        candidate = Candidate(
            chip_type, (spread, rank), speed, index.sites[site].shares[positions[0]]
        )
        tie = (chip.emulated, chip.memory_bytes or 0, chip_type)
        ranked.append(((candidate.level, speed is None, -(speed or 0.0), tie), candidate))
    return [candidate for _, candidate in sorted(ranked, key=lambda it: it[0])]


def thriftiest(found: list[Candidate]) -> list[Candidate]:
    """The same types by what a chip takes of its host, least first: in this order most members
    fit where types share a host's cores.
    """
    return sorted(found, key=lambda it: (it.share.cores_milli, it.share.memory_bytes))


def throughput(candidate: Candidate, members: int) -> float:
    """Expected speed of so many members; their number where no speed is known."""
    return members * (candidate.speed or 1.0)


def _rank(chip: Chip, wish: tuple[str, ...]) -> int | None:
    """Place of the first word of the wish that means this chip."""
    return next((place for place, word in enumerate(wish) if matches(chip, word)), None)
