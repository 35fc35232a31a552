"""Hard checks: which chips can never hold a member of a gang, in which order that is decided,
and which constraint alone keeps a gang off this pool whatever runs on it.

Whether it fits beside what runs now is left to `gang`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from scheduler.model import ANY, WHOLE, Chip, Closed, Code, Gang, JobType, MemberRequest
from scheduler.snapshot.columns import Layout
from scheduler.snapshot.overlays import Ints
from scheduler.snapshot.places import Places

PIPELINE: Final = (
    Code.VENDOR, Code.TYPE, Code.PASSED_OVER, Code.MEMORY, Code.DTYPE, Code.HEALTH, Code.RETIRED,
    Code.LOST, Code.JOINING, Code.SUSPECT, Code.DRAINING, Code.CORDONED,
)  # fmt: skip
"""The order in which constraints remove chips; a chip counts at the first that removes it."""
_AT: Final = {code: place for place, code in enumerate(PIPELINE)}
_LEFT: Final = len(PIPELINE)
STATE_AT: Final = np.array(
    [_LEFT, *(_AT[Code(it.value)] for it in Closed), _AT[Code.HEALTH]], dtype=np.int64
)
"""State (`Layout.state`, `Kinds.state`) → the place in the pipeline of the constraint it is."""

MOST_REMEMBERED: Final = 100_000
"""Requests of which a layout knows where they could sit; it may be kept for weeks."""

Eligible = Mapping[str | None, Places]
"""Chip type → where its chips can hold a member; None: host cores only."""


def matches(chip: Chip, word: str) -> bool:
    """Whether one word of a wish (`any`, a type, a vendor) means this chip."""
    return word in (ANY, chip.type, chip.vendor)


def can_hold(chip: Chip, request: MemberRequest) -> bool:
    """Whether a chip of this make could hold a member, whatever its state."""
    return (
        any(matches(chip, word) for word in request.wish)
        and _has_memory(chip, request)
        and (request.dtype is None or request.dtype in chip.dtypes)
    )


def eligible(gang: Gang, layout: Layout) -> Eligible:
    """Where members could sit if nothing ran, by chip type in order of the names."""
    request = gang.request
    if not request.chips:
        return {None: layout.hosts}
    key = (request, gang.least, gang.mix, gang.type)
    found = layout.eligible.get(key)
    if found is None:
        if len(layout.eligible) > MOST_REMEMBERED:
            layout.eligible.clear()
        over = _passes_processors_over(gang, layout)
        makes = _by_type(
            (number, chip)
            for number, chip in enumerate(layout.makes)
            if can_hold(chip, request) and not _is_passed_over(chip, gang, over)
        )
        found = layout.eligible[key] = {kind: layout.places(it) for kind, it in makes.items()}
    return found


def _passes_processors_over(gang: Gang, layout: Layout) -> bool:
    """Whether `any` means no host processor to this gang: as long as the inventory has other
    chips, not retired, that fit and that this kind of job can use.
    """
    request = gang.request
    if ANY not in request.wish or not request.chips:
        return False
    members = [
        layout.places(makes).members_in_inventory(request)
        for makes in _by_type(
            (number, chip)
            for number, chip in enumerate(layout.makes)
            if not chip.is_processor
            and can_hold(chip, request)
            and not _is_passed_over(chip, gang, processors=True)
        ).values()
    ]
    return (sum(members) if gang.mix else max(members, default=0)) >= gang.least


class Survey:
    """Every chip of the pool, closed nodes included, under the constraint that removes it."""

    def __init__(self, gang: Gang, layout: Layout, vendors: frozenset[str]) -> None:
        self._layout = layout
        over = _passes_processors_over(gang, layout)
        of_make = [_obstacle(chip, gang, vendors, over) for chip in layout.makes]
        by_make = np.array([_LEFT if it is None else _AT[it] for it in of_make], dtype=np.int64)
        self._codes = np.minimum(by_make[layout.kinds.make], STATE_AT[layout.kinds.state])

    def removed(self) -> dict[Code, Mapping[str, int]]:
        """Constraint → chip type → chips, in pipeline order."""
        return {PIPELINE[at]: self._by_type(at) for at in np.unique(self._codes) if at < _LEFT}

    def left(self) -> Mapping[str, int]:
        """Chip type → chips that nothing removes."""
        return self._by_type(_LEFT)

    def after(self, last: Code) -> Mapping[str, Ints]:
        """Chip type → chips on each node, once the pipeline has run up to and with `last`."""
        kinds, there = self._layout.kinds, self._codes > _AT[last]
        found = {}
        for number in np.unique(kinds.type[there]).tolist():
            mine = there & (kinds.type == number)
            counts = np.bincount(kinds.site[mine], kinds.count[mine]).astype(np.int64)
            found[self._layout.types[number]] = counts[counts > 0]
        return found

    def rows(self, code: Code) -> list[int]:
        """The chips that a constraint removes."""
        found: list[int] = np.flatnonzero(
            (self._codes == _AT[code])[self._layout.kinds.of_row]
        ).tolist()
        return found

    def binding(self, gang: Gang) -> Code | None:
        """The first constraint without which the gang's chips would be there, if all were free.

        `too_many_chips`: chips that match the wish exist, but not enough of them.
        """
        removed = self.removed()
        wished = self.after(Code.PASSED_OVER)
        if members_possible(gang, wished) < gang.least:
            wishes = (Code.VENDOR, Code.TYPE, Code.PASSED_OVER)
            by_wish = next((it for it in wishes if it in removed), None)
            return by_wish if by_wish and not wished else Code.TOO_MANY_CHIPS
        for code in PIPELINE[_AT[Code.PASSED_OVER] + 1 :]:
            if code in removed and members_possible(gang, self.after(code)) < gang.least:
                return code
        return None

    def _by_type(self, at: int) -> dict[str, int]:
        kinds, mine = self._layout.kinds, self._codes == at
        counts = np.bincount(kinds.type[mine], kinds.count[mine]).astype(np.int64)
        return {self._layout.types[it]: int(counts[it]) for it in np.flatnonzero(counts)}


def members_possible(gang: Gang, chips: Mapping[str, Ints]) -> int:
    """Members that these chips could hold if all were free; host cores are not looked at."""
    request = gang.request
    by_type = [
        int((counts // request.chips).sum()) * (WHOLE // request.milli) for counts in chips.values()
    ]
    return sum(by_type) if gang.mix else max(by_type, default=0)


def _by_type(makes: Iterable[tuple[int, Chip]]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for number, chip in makes:
        found[chip.type] = (*found.get(chip.type, ()), number)
    return dict(sorted(found.items()))


def _is_passed_over(chip: Chip, gang: Gang, processors: bool) -> bool:
    """Whether `any` does not mean this chip: where `processors` are passed over, those; and for
    training what the trainer cannot drive.
    """
    if not (processors and chip.is_processor) and (
        chip.trainable or gang.type is not JobType.TRAIN
    ):
        return False
    return not {chip.type, chip.vendor} & set(gang.request.wish)


def _obstacle(chip: Chip, gang: Gang, vendors: frozenset[str], over: bool) -> Code | None:
    """The first constraint that removes every chip of this make."""
    request = gang.request
    if not any(matches(chip, word) for word in request.wish):
        return Code.VENDOR if set(request.wish) <= vendors else Code.TYPE
    if _is_passed_over(chip, gang, over):
        return Code.PASSED_OVER
    if not _has_memory(chip, request):
        return Code.MEMORY
    return Code.DTYPE if request.dtype is not None and request.dtype not in chip.dtypes else None


def _has_memory(chip: Chip, request: MemberRequest) -> bool:
    """Unknown memory satisfies no wish for memory."""
    if request.memory_bytes is None:
        return True
    held = None if chip.memory_bytes is None else chip.memory_bytes * request.milli // WHOLE
    return held is not None and held >= request.memory_bytes
