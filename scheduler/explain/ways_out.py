"""Ways out for a gang that waits: each one alone would let it start, now or as soon as what it
needs comes free. Changes of the request are tried on the empty pool before they are proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Final

from scheduler.explain.facts import Facts
from scheduler.explain.growth import more_chips, types_that_do
from scheduler.explain.reason import Reason
from scheduler.explain.wording import cores, listed, plural, size, thousandths
from scheduler.model import WHOLE, Chip, Closed, Code, Gang, JobType, MemberRequest, Node
from scheduler.place.feasibility import matches
from scheduler.place.gang import Supply, could_start

Ways = Callable[[Gang, Reason, Facts], Iterable[str]]
MOST_PRIORITY: Final = 100
_REOPEN: Final[Mapping[Closed, str]] = {
    Closed.CORDONED: "uncordon",
    Closed.DRAINING: "uncordon",
    Closed.RETIRED: "enrol again",
    Closed.LOST: "bring back",
    Closed.SUSPECT: "bring back",
    Closed.JOINING: "wait for",
}


def ways_out(gang: Gang, reason: Reason, facts: Facts) -> tuple[str, ...]:
    """What would let the gang start; empty where only time helps."""
    return tuple(_WAYS.get(reason.cause or reason.code, _no_way)(gang, reason, facts))


def _no_way(gang: Gang, reason: Reason, facts: Facts) -> Iterable[str]:
    return ()


def _a_node(gang: Gang, reason: Reason, facts: Facts) -> Iterable[str]:
    return ("add a node",)


def _other_request(gang: Gang, reason: Reason, facts: Facts) -> Iterable[str]:
    """Changes of the request, and more chips."""
    return chain(
        _named(reason),
        _mix(gang, facts),
        _fewer(gang, reason),
        _fewer_each(gang, facts),
        _less_memory(gang, facts),
        _other_dtype(gang, facts),
        _other_type(gang, facts),
        more_chips(gang, reason, facts),
    )


def _named(reason: Reason) -> Iterator[str]:
    if passed_over := reason.removed.get(Code.PASSED_OVER):
        yield f"ask for {listed(sorted(passed_over), 'or')}, which `any` leaves out"


def _mix(gang: Gang, facts: Facts) -> Iterator[str]:
    if not gang.mix and gang.least > 1 and _would_do(replace(gang, mix=True), facts):
        yield "allow `mix`, so that the gang may span chip types"


def _fewer(gang: Gang, reason: Reason) -> Iterator[str]:
    if 0 < reason.members_fit < gang.least:
        word = "chip" if gang.type is JobType.TRAIN else "member"
        yield f"ask for at most {plural(reason.members_fit, word)}"


def _fewer_each(gang: Gang, facts: Facts) -> Iterator[str]:
    """The most chips that a member may ask for."""
    most = min(gang.request.chips - 1, facts.most_together(gang))
    for chips in range(most, 0, -1):
        changed = _asking(gang, replace(gang.request, chips=chips))
        if _would_do(changed, facts):
            each = " per member" if gang.least > 1 else ""
            yield f"ask for at most {plural(chips, 'chip')}{each}{_of_types(changed, facts)}"
            return


def _of_types(changed: Gang, facts: Facts) -> str:
    """The chip types on which the changed request fits: ` (this or that)`."""
    types = types_that_do(changed, facts)
    return f" ({listed(types, 'or')})" if types else ""


def _less_memory(gang: Gang, facts: Facts) -> Iterator[str]:
    request = gang.request
    if request.memory_bytes is None:
        return
    held = {
        chip.memory_bytes * request.milli // WHOLE
        for chip in facts.makes.values()
        if chip.memory_bytes is not None
    }
    for memory in sorted((it for it in held if it < request.memory_bytes), reverse=True):
        changed = _asking(gang, replace(request, memory_bytes=memory))
        if _would_do(changed, facts):
            yield f"ask for at most {size(memory)} per chip{_of_types(changed, facts)}"
            return


def _other_dtype(gang: Gang, facts: Facts) -> Iterator[str]:
    if gang.request.dtype is None:
        return
    known = sorted({name for chip in facts.makes.values() for name in chip.dtypes})
    fitting = [
        name
        for name in known
        if name != gang.request.dtype
        and _would_do(_asking(gang, replace(gang.request, dtype=name)), facts)
    ]
    if fitting:
        yield f"ask for {listed(fitting, 'or')} instead of {gang.request.dtype}"


def _other_type(gang: Gang, facts: Facts) -> Iterator[str]:
    """Types that would do: those that stand for the wished one, or else all of them."""
    wish = gang.request.wish
    others = [it for it in sorted(facts.makes) if not _wished(facts.makes[it], wish)]
    fitting = [
        it for it in others if _would_do(_asking(gang, replace(gang.request, wish=(it,))), facts)
    ]
    closest = [it for it in fitting if facts.makes[it].stands_for in wish]
    if fitting:
        names = (_with_what_it_is(facts.makes[it]) for it in closest or fitting)
        yield f"ask for {listed(names, 'or')}"


def _wished(chip: Chip, wish: tuple[str, ...]) -> bool:
    return any(matches(chip, word) for word in wish)


def _with_what_it_is(chip: Chip) -> str:
    stands = f" (emulated, stands for {chip.stands_for})" if chip.stands_for else ""
    return f"{chip.type}{stands}"


def _open_nodes(gang: Gang, reason: Reason, facts: Facts) -> Iterator[str]:
    """The fewest closed nodes whose reopening makes the gang possible: those of the state that
    binds first, the largest before the smaller ones.
    """
    binding = Closed((reason.cause or reason.code).value)
    opened: list[tuple[Node, str]] = []
    for state in (binding, *(it for it in Closed if it is not binding)):
        for node, what in _closed_by(state, gang, facts):
            opened.append((node, f"{node.name} ({what})"))
            if could_start(gang, _reopened(facts, {it.id for it, _ in opened})):
                yield listed(_reopenings(opened))
                return


def _closed_by(state: Closed, gang: Gang, facts: Facts) -> list[tuple[Node, str]]:
    """The nodes in a state that have something for the gang, and what; the largest first."""
    nodes = [
        (node, *_brings(gang, node, chips))
        for node, chips in facts.nodes_under(gang, Code(state.value))
    ]
    return [(node, what) for node, _, what in sorted(nodes, key=lambda it: (-it[1], it[0].name))]


def _reopenings(opened: list[tuple[Node, str]]) -> Iterator[str]:
    """`uncordon nodes a (2 chips) and b (1 chip)`, for each thing that has to be done."""
    names: dict[str, list[str]] = {}
    for node, name in opened:
        if node.closed is not None:
            names.setdefault(_REOPEN[node.closed], []).append(name)
    for verb, those in names.items():
        yield f"{verb} {'node' if len(those) == 1 else 'nodes'} {listed(those)}"


def _brings(gang: Gang, node: Node, chips: Mapping[str, int]) -> tuple[int, str]:
    """What a node has for the gang, as a number and in words: host cores if it asks for no chip."""
    if not gang.request.chips:
        return node.cores_milli, cores(node.cores_milli)
    return sum(chips.values()), plural(sum(chips.values()), "chip")


def _repair(gang: Gang, reason: Reason, facts: Facts) -> Iterator[str]:
    for chip_type, count in sorted(reason.removed.get(Code.HEALTH, {}).items()):
        missing = min(count, (gang.least - reason.members_fit) * gang.request.chips)
        yield f"repair {plural(missing, f'{chip_type} chip')}"


def _less_host(gang: Gang, reason: Reason, facts: Facts) -> Iterator[str]:
    """Fewer members, less per member, or what must come free."""
    if reason.short_cores_milli:
        yield f"free {plural(thousandths(reason.short_cores_milli), 'more host core')}"
        return
    if reason.short_memory_bytes:
        yield f"free {size(reason.short_memory_bytes)} more host memory"
        return
    yield from _fewer(gang, reason)
    nodes = [site.node for site in facts.layout.sites]
    if (reason.cause or reason.code) is Code.HOST_CORES:
        most = max((node.cores_milli for node in nodes), default=0)
        request = replace(gang.request, cores_milli=most)
        if most and _would_do(_asking(gang, request), facts):
            yield f"ask for at most {cores(most)}"
    else:
        most = max((node.memory_bytes for node in nodes), default=0)
        request = replace(gang.request, host_memory_bytes=most)
        if most and _would_do(_asking(gang, request), facts):
            yield f"ask for at most {size(most)} of host memory"


def _raise_limit(gang: Gang, reason: Reason, facts: Facts) -> Iterator[str]:
    hit = reason.limit
    if hit is None:
        return
    needed = -(-(hit.used_milli + hit.asked_milli) // WHOLE)
    yield (
        f"raise the limit of queue {hit.queue} for {hit.resource} "
        f"from {hit.limit_milli // WHOLE} to {needed}"
    )
    if hit.asked_milli <= hit.limit_milli:
        over = hit.used_milli + hit.asked_milli - hit.limit_milli
        yield f"end jobs of queue {hit.queue} that hold {thousandths(over)} of {hit.resource}"


def _free_chips(gang: Gang, reason: Reason, facts: Facts) -> Iterator[str]:
    yield from _named(reason)
    where = " on one node" if gang.request.chips > 1 else ""
    for chip_type, milli in sorted(reason.short.items()):
        amount = thousandths(milli)
        if gang.request.milli == WHOLE:
            yield f"free {plural(amount, f'more {chip_type} chip')}{where}"
        elif milli <= gang.request.milli:
            yield f"free {amount} more of one {chip_type} chip"
        else:
            each = thousandths(gang.request.milli)
            yield f"free {amount} more of {chip_type} chips, for members that take {each} each"


def _go_before(gang: Gang, reason: Reason, facts: Facts) -> Iterator[str]:
    yield from _free_chips(gang, reason, facts)
    highest = reason.blockers[0].priority if reason.blockers else MOST_PRIORITY
    if highest < MOST_PRIORITY:
        yield f"submit it again with a priority above {highest}"


def _asking(gang: Gang, request: MemberRequest) -> Gang:
    return replace(gang, request=request)


def _would_do(changed: Gang, facts: Facts) -> bool:
    return could_start(changed, facts.empty)


def _reopened(facts: Facts, ids: set[str]) -> Supply:
    nodes = tuple(
        replace(node, closed=None) if node.id in ids else node for node in facts.snapshot.nodes
    )
    return facts.if_nodes_were(nodes)


_WAYS: Final[Mapping[Code, Ways]] = {
    **dict.fromkeys(
        (Code.VENDOR, Code.TYPE, Code.PASSED_OVER, Code.MEMORY, Code.DTYPE, Code.TOO_MANY_CHIPS),
        _other_request,
    ),
    Code.NO_NODES: _a_node,
    Code.HEALTH: _repair,
    **dict.fromkeys((Code(it.value) for it in Closed), _open_nodes),
    Code.HOST_CORES: _less_host,
    Code.HOST_MEMORY: _less_host,
    Code.QUEUE_LIMIT: _raise_limit,
    Code.SHARE: _free_chips,
    Code.BUSY: _free_chips,
    Code.BEHIND_HIGHER_PRIORITY: _go_before,
}
