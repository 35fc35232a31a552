"""Hard checks: which chips can never hold a member of a gang, in which order that is decided,
and which constraint alone keeps a gang off this pool whatever runs on it.

Whether it fits beside what runs now is left to `gang`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.model import ANY, WHOLE, Chip, Code, Gang, MemberRequest, Node, NodeId
from scheduler.snapshot.overlays import Index

PIPELINE: Final = (
    Code.VENDOR, Code.TYPE, Code.MEMORY, Code.DTYPE, Code.HEALTH, Code.RETIRED, Code.LOST,
    Code.JOINING, Code.SUSPECT, Code.DRAINING, Code.CORDONED,
)  # fmt: skip
"""The order in which constraints remove chips; a chip counts at the first that removes it."""

Group = tuple[NodeId, str]
"""Chips of one type on one node."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Every chip of the pool under the constraint that removed it, None for those that remain."""

    groups: Mapping[Code | None, Mapping[Group, int]]

    def removed(self) -> dict[Code, Mapping[str, int]]:
        """Constraint → chip type → chips, in pipeline order."""
        return {code: _by_type(self.groups[code]) for code in PIPELINE if code in self.groups}

    def after(self, last: Code) -> Mapping[Group, int]:
        """What is left once the pipeline has run up to and with `last`."""
        gone = set(PIPELINE[: PIPELINE.index(last) + 1])
        total: Counter[Group] = Counter()
        for code, groups in self.groups.items():
            if code not in gone:
                total.update(groups)
        return total


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


def obstacle(
    chip: Chip, node: Node, request: MemberRequest, vendors: frozenset[str]
) -> Code | None:
    """The first constraint of the pipeline that removes this chip."""
    if not any(matches(chip, word) for word in request.wish):
        return wish_code(request, vendors)
    if not _has_memory(chip, request):
        return Code.MEMORY
    if request.dtype is not None and request.dtype not in chip.dtypes:
        return Code.DTYPE
    if not chip.healthy:
        return Code.HEALTH
    return Code(node.closed.value) if node.closed is not None else None


def wish_code(request: MemberRequest, vendors: frozenset[str]) -> Code:
    """`vendor` where the wish names only vendors, `type` otherwise."""
    return Code.VENDOR if set(request.wish) <= vendors else Code.TYPE


def survey(request: MemberRequest, index: Index) -> Survey:
    """Passes every chip of the pool, closed nodes included, through the pipeline; once for each
    request.
    """
    found = index.memo.get(request)
    if not isinstance(found, Survey):
        found = index.memo[request] = _survey(request, index)
    return found


def binding(gang: Gang, found: Survey) -> Code | None:
    """The first constraint without which the gang's chips would be there, if all were free.

    `too_many_chips`: chips that match the wish exist, but not enough of them.
    """
    wished = found.after(Code.TYPE)
    if members_possible(gang, wished) < gang.least:
        wish_removed = next((it for it in (Code.VENDOR, Code.TYPE) if it in found.groups), None)
        return wish_removed if wish_removed and not wished else Code.TOO_MANY_CHIPS
    for code in PIPELINE[PIPELINE.index(Code.TYPE) + 1 :]:
        if code in found.groups and members_possible(gang, found.after(code)) < gang.least:
            return code
    return None


def members_possible(gang: Gang, groups: Mapping[Group, int]) -> int:
    """Members that these chips could hold if all were free; host cores are not looked at."""
    request, by_type = gang.request, Counter[str]()
    for (_, chip_type), count in groups.items():
        by_type[chip_type] += count // request.chips * (WHOLE // request.milli)
    return sum(by_type.values()) if gang.mix else max(by_type.values(), default=0)


def _survey(request: MemberRequest, index: Index) -> Survey:
    groups: dict[Code | None, Counter[Group]] = {}
    for node in index.nodes:
        for chip in node.chips:
            code = obstacle(chip, node, request, index.snapshot.vendors)
            groups.setdefault(code, Counter())[(node.id, chip.type)] += 1
    return Survey(groups)


def _has_memory(chip: Chip, request: MemberRequest) -> bool:
    """Unknown memory satisfies no wish for memory."""
    if request.memory_bytes is None:
        return True
    held = None if chip.memory_bytes is None else chip.memory_bytes * request.milli // WHOLE
    return held is not None and held >= request.memory_bytes


def _by_type(groups: Mapping[Group, int]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for (_, chip_type), count in groups.items():
        total[chip_type] += count
    return dict(sorted(total.items()))
