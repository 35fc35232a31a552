"""What would have to be added to the pool for a gang to fit: chips on a node that has some of
them already, or else as many more. Changes of the request are left to `ways_out`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from scheduler.explain.facts import Facts
from scheduler.explain.reason import Reason
from scheduler.explain.wording import listed, plural, size
from scheduler.model import ANY, WHOLE, Chip, ChipId, Gang, MemberRequest, Node, NodeId
from scheduler.place.feasibility import eligible, matches
from scheduler.place.gang import best_seats, could_start


@dataclass(frozen=True, slots=True, order=True)
class _TopUp:
    """Chips that one more member lacks on a node that has the others."""

    lacking: int
    node_name: str
    node_id: NodeId


def more_chips(gang: Gang, reason: Reason, facts: Facts) -> Iterator[str]:
    """The chips that are missing, with all that is asked of them."""
    missing, request = gang.least - reason.members_fit, gang.request
    if not request.chips or missing <= 0:
        return
    if request.chips > 1 and (here := _beside_others(gang, reason, facts)):
        yield f"add {here}"
        return
    count = -(-missing // (WHOLE // request.milli)) * request.chips
    kind = _kind(gang, reason, facts, count)
    yield f"add {plural(count, 'chip')}{kind}{_qualities(request, count)}{_together(gang)}"


def types_that_do(gang: Gang, facts: Facts) -> list[str]:
    """The wished chip types on each of which alone the gang fits into the empty pool."""
    return [it for it in _wished(gang, facts) if _members(gang, it, facts) >= gang.least]


def _wished(gang: Gang, facts: Facts) -> list[str]:
    wish = gang.request.wish
    return [name for name, chip in sorted(facts.makes.items()) if _means(wish, chip)]


def _means(wish: tuple[str, ...], chip: Chip) -> bool:
    return any(matches(chip, word) for word in wish)


def _members(gang: Gang, chip_type: str, facts: Facts) -> int:
    """Members that the chips of one type hold in the empty pool."""
    only = replace(gang, mix=False, request=replace(gang.request, wish=(chip_type,)))
    return len(best_seats(only, facts.empty, {}))


def _beside_others(gang: Gang, reason: Reason, facts: Facts) -> str:
    """The fewest chips of one type that complete the missing members on nodes with some of
    their chips; empty where that does not do.
    """
    found: list[tuple[int, str, list[_TopUp]]] = []
    for chip_type in _wished(gang, facts):
        fit = reason.members_fit if gang.mix else _members(gang, chip_type, facts)
        options = sorted(_top_ups(gang, chip_type, facts))[: gang.least - fit]
        if len(options) == gang.least - fit:
            found.append((sum(it.lacking for it in options), chip_type, options))
    for _, chip_type, options in sorted(found):
        if _would_do(gang, chip_type, options, facts):
            chip = f"more {chip_type} chip"
            return listed(f"{plural(it.lacking, chip)} to node {it.node_name}" for it in options)
    return ""


def _top_ups(gang: Gang, chip_type: str, facts: Facts) -> Iterator[_TopUp]:
    chips = gang.request.chips
    places = eligible(gang, facts.layout).get(chip_type)
    if places is None:
        return
    for site, count in zip(places.sites, places.chips_at.tolist(), strict=True):
        node = facts.layout.sites[site].node
        if over := count % chips:
            yield _TopUp(chips - over, node.name, node.id)


def _would_do(gang: Gang, chip_type: str, options: Iterable[_TopUp], facts: Facts) -> bool:
    """Whether the gang fits once the nodes have these chips; their hosts stay as they are."""
    extra = {it.node_id: it.lacking for it in options}
    nodes = tuple(_grown(it, chip_type, extra, gang) for it in facts.snapshot.nodes)
    return could_start(gang, facts.if_nodes_were(nodes))


def _grown(node: Node, chip_type: str, extra: Mapping[NodeId, int], gang: Gang) -> Node:
    count = extra.get(node.id, 0)
    if not count:
        return node
    model = next(it for it in node.chips if it.type == chip_type and it.healthy)
    first = max(it.index for it in node.chips) + 1
    more = tuple(
        replace(model, id=ChipId(f"{model.id}+{number}"), index=first + number)
        for number in range(count)
    )
    return replace(node, chips=node.chips + more)


def _kind(gang: Gang, reason: Reason, facts: Facts, count: int) -> str:
    """Of which type: one that holds the members that fit, where they count; else as wished."""
    wish: Iterable[str] = gang.request.wish
    word = "vendor" if set(wish) <= facts.snapshot.vendors else "type"
    fit, types = reason.members_fit, _wished(gang, facts)
    if fit and not gang.mix:
        word, wish = "type", [it for it in types if _members(gang, it, facts) == fit]
    names = list(wish)
    alike = count > 1 and (gang.request.chips > 1 or not gang.mix)
    if ANY in names:
        return " of one type" if alike else ""
    one = ", all of one type" if alike and (len(names) > 1 or word == "vendor") else ""
    return f" of {word} {listed(names, 'or')}{one}"


def _qualities(request: MemberRequest, count: int) -> str:
    """What each of the chips must have; memory is asked for within the held part."""
    wants = []
    if request.memory_bytes is not None:
        whole = -(-request.memory_bytes * WHOLE // request.milli)
        wants.append(f"with at least {size(whole)}{' each' if count > 1 else ''}")
    if request.dtype is not None:
        wants.append(f"that {'compute' if count > 1 else 'computes'} in {request.dtype}")
    return f" {listed(wants)}" if wants else ""


def _together(gang: Gang) -> str:
    if gang.request.chips == 1:
        return ""
    return f", {gang.request.chips} on a node" if gang.least > 1 else " on one node"
