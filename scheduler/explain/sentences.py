"""One true sentence for each reason, with the counts per chip type that make it true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from scheduler.explain.facts import Facts, on_nodes
from scheduler.explain.reason import Blocker, Reason
from scheduler.explain.wording import asked, counted, demands, listed, plural, size, thousandths
from scheduler.explain.wording import cores as host_cores
from scheduler.model import ANY, Code, Gang

Sentence = Callable[[Gang, Reason, Facts], str]
_WISHED: Final = (Code.VENDOR, Code.TYPE, Code.PASSED_OVER)
_NAMED: Final = 3
"""Jobs that a sentence names; the rest are counted."""


def sentence(gang: Gang, reason: Reason, facts: Facts) -> str:
    """Why the gang waits."""
    return _SENTENCES[reason.code](gang, reason, facts)


def _backing_off(gang: Gang, reason: Reason, facts: Facts) -> str:
    until = "" if reason.until is None else f" until {reason.until:%Y-%m-%d %H:%M:%S} UTC"
    return f"its last attempt failed: it waits{until} before the next"


def _no_nodes(gang: Gang, reason: Reason, facts: Facts) -> str:
    return f"asks for {_what(gang, facts)}; the pool has no node"


def _wrong_kind(gang: Gang, reason: Reason, facts: Facts) -> str:
    return f"asks for {_what(gang, facts)}; the pool has none: {counted(facts.chips)}"


def _too_many(gang: Gang, reason: Reason, facts: Facts) -> str:
    have = facts.left(reason, *_WISHED)
    total, what = sum(have.values()), _what(gang, facts)
    if not total:
        return f"asks for {what}; the pool has no chip"
    wanted = gang.least * gang.request.chips
    if gang.request.chips > 1:
        most = facts.most_together(gang)
        together = "" if most == total else f", at most {most} on one node"
        where = _on_one_node(gang, facts)
        return f"asks for {where}; the pool has {total}{together}: {counted(have)}"
    if total >= wanted and not gang.mix:
        most = max(have.values())
        return (
            f"asks for {what}, all of one type; the pool has {total}, "
            f"at most {most} of one type: {counted(have)}"
        )
    return f"asks for {what}; the pool has {total}: {counted(have)}"


def _on_one_node(gang: Gang, facts: Facts) -> str:
    """`8 chips of one type on one node`, `3 × 8 chips of type this, each 8 on one node`."""
    chips, what = gang.request.chips, _what(gang, facts)
    if ANY in gang.request.wish:
        times = f"{gang.least} × " if gang.least > 1 else ""
        what = f"{times}{plural(chips, 'chip')} of one type{demands(gang.request)}"
    return f"{what}, each {chips} on one node" if gang.least > 1 else f"{what} on one node"


def _memory(gang: Gang, reason: Reason, facts: Facts) -> str:
    less = reason.removed.get(Code.MEMORY, {})
    left = facts.left(reason, *_WISHED, Code.MEMORY)
    return (
        f"asks for {_what(gang, facts)}; {_chips_have(less)} less: {facts.too_small(gang)}"
        f"{_left(left)}"
    )


def _dtype(gang: Gang, reason: Reason, facts: Facts) -> str:
    without = reason.removed.get(Code.DTYPE, {})
    left = facts.left(reason, *_WISHED, Code.MEMORY, Code.DTYPE)
    return (
        f"asks for {_what(gang, facts)}; {plural(sum(without.values()), 'chip')} cannot compute "
        f"in {gang.request.dtype}: {counted(without)}{_left(left)}"
    )


def _unhealthy(gang: Gang, reason: Reason, facts: Facts) -> str:
    ill = reason.removed.get(Code.HEALTH, {})
    count = sum(ill.values())
    where = on_nodes(facts.nodes_under(gang, Code.HEALTH))
    verb = "is" if count == 1 else "are"
    return (
        f"asks for {_what(gang, facts)}; {plural(count, 'chip')} {verb} unhealthy on {where}: "
        f"{counted(ill)}{_still_open(reason, facts)}"
    )


def _closed(gang: Gang, reason: Reason, facts: Facts) -> str:
    nodes = facts.nodes_under(gang, reason.code)
    chips = reason.removed.get(reason.code, {})
    verb = "is" if len(nodes) == 1 else "are"
    what = f"{on_nodes(nodes)} {verb} {reason.code.value}"
    if not gang.request.chips:
        return f"asks for {_what(gang, facts)}; {what}"
    return f"asks for {_what(gang, facts)}; {what}: {counted(chips)}{_still_open(reason, facts)}"


def _host(gang: Gang, reason: Reason, facts: Facts) -> str:
    return f"asks for {_what(gang, facts)}{_and(_host_tail(gang, reason, facts))}"


def _queue_limit(gang: Gang, reason: Reason, facts: Facts) -> str:
    hit = reason.limit
    if hit is None:
        return f"queue {gang.queue} may not hold {_what(gang, facts)}"
    kind = "" if hit.resource == ANY else f" of type {hit.resource}"
    return (
        f"queue {hit.queue} may hold {_chips(hit.limit_milli)}{kind} at once; "
        f"its jobs hold {thousandths(hit.used_milli)} and this one asks for "
        f"{thousandths(hit.asked_milli)}"
    )


def _busy(gang: Gang, reason: Reason, facts: Facts) -> str:
    return f"asks for {_what(gang, facts)}{_and(_busy_tail(gang, reason, facts))}"


def _behind(gang: Gang, reason: Reason, facts: Facts) -> str:
    return f"waits behind jobs of higher priority: {_holding(reason)}{_of_those_that_fit(reason)}"


def _releasing(gang: Gang, reason: Reason, facts: Facts) -> str:
    by = f" by {_names(reason)}" if reason.blockers else ""
    coming = counted(reason.removed.get(Code.WAITING_FOR_RELEASE, {})) or "host cores or memory"
    return f"waits for what is being released{by}: {coming}; seats are kept for it"


def _preempting(gang: Gang, reason: Reason, facts: Facts) -> str:
    stopped = "is stopped" if reason.num_blockers == 1 else "are stopped"
    return f"takes the place of lower priority: {_holding(reason)} and {stopped} for it"


def _partly(gang: Gang, reason: Reason, facts: Facts) -> str:
    cause = reason.cause or Code.BUSY
    fit = "fits" if reason.members_fit == 1 else "fit"
    tail = _TAILS[cause](gang, reason, facts)
    return f"gang needs {gang.least} members, {reason.members_fit} {fit}{_and(tail)}"


def _too_many_tail(gang: Gang, reason: Reason, facts: Facts) -> str:
    have = facts.left(reason, *_WISHED)
    return f"it asks for {_what(gang, facts)} and the pool has {counted(have)}"


def _behind_tail(gang: Gang, reason: Reason, facts: Facts) -> str:
    return f"higher priority goes first: {_holding(reason)}"


def _busy_tail(gang: Gang, reason: Reason, facts: Facts) -> str:
    """What is in use and by whom; what is coming back; what is free but of no use."""
    words = []
    if in_use := _total(reason, Code.BUSY):
        words.append(f"in use: {counted(in_use)}")
    if partly := _total(reason, Code.SHARE):
        words.append(f"too little is left on: {counted(partly)}")
    if words and reason.blockers:
        words[-1] += f", by {_names(reason)}"
    if coming := _total(reason, Code.WAITING_FOR_RELEASE):
        words.append(f"being released: {counted(coming)}")
    if scattered := _total(reason, Code.TOO_MANY_CHIPS):
        words.append(f"free, but too few on one node: {counted(scattered)}")
    return "; ".join(words)


def _host_tail(gang: Gang, reason: Reason, facts: Facts) -> str:
    """What a member takes of its host, and what is missing."""
    cores = (reason.cause or reason.code) is Code.HOST_CORES
    each = _each_takes(gang, cores)
    short = reason.short_cores_milli if cores else reason.short_memory_bytes
    if not short:
        return each + _whole_pool(facts, cores)
    amount = plural(thousandths(short), "more host core") if cores else f"{size(short)} more memory"
    by = f"; in use by {_names(reason)}" if reason.blockers else ""
    return f"{each}{amount} would have to be free{by}"


def _each_takes(gang: Gang, cores: bool) -> str:
    """What a member with chips takes of its host; what one without takes was said before."""
    named = gang.request.cores_milli if cores else gang.request.host_memory_bytes
    if not gang.request.chips:
        return ""
    if named is None:
        return f"each takes its chips' share of host {'cores' if cores else 'memory'}; "
    return f"each takes {host_cores(named) if cores else f'{size(named)} of host memory'}; "


def _whole_pool(facts: Facts, cores: bool) -> str:
    have = [
        site.node.cores_milli if cores else site.node.memory_bytes for site in facts.layout.sites
    ]
    total, most = sum(have), max(have, default=0)
    if cores:
        return f"the open nodes have {host_cores(total)}, at most {thousandths(most)} on one"
    return f"the open nodes have {size(total)} of memory, at most {size(most)} on one"


def _what(gang: Gang, facts: Facts) -> str:
    return asked(gang, facts.snapshot.vendors) + demands(gang.request)


def _total(reason: Reason, code: Code) -> Mapping[str, int]:
    return reason.removed.get(code, {})


def _chips_have(chips: Mapping[str, int]) -> str:
    count = sum(chips.values())
    return f"{plural(count, 'chip')} {'has' if count == 1 else 'have'}"


def _chips(milli: int) -> str:
    return plural(thousandths(milli), "chip")


def _left(left: Mapping[str, int]) -> str:
    return f"; left: {counted(left)}" if left else "; none is left"


def _still_open(reason: Reason, facts: Facts) -> str:
    return _left(facts.left(reason, *reason.removed))


def _and(tail: str) -> str:
    return f"; {tail}" if tail else ""


def _names(reason: Reason) -> str:
    names = [it.job_name for it in reason.blockers[:_NAMED]]
    more = reason.num_blockers - len(names)
    return listed([*names, f"{more} more"] if more > 0 else names)


def _holding(reason: Reason) -> str:
    held = [_holder(it) for it in reason.blockers[:_NAMED]]
    more = reason.num_blockers - len(held)
    return listed([*held, f"{more} more"] if more > 0 else held)


def _holder(blocker: Blocker) -> str:
    holds = f"holds {counted(blocker.chips)}" if blocker.chips else "holds host cores"
    return f"{blocker.job_name} (priority {blocker.priority}) {holds}"


def _of_those_that_fit(reason: Reason) -> str:
    total: Counter[str] = Counter()
    for code in (Code.BUSY, Code.SHARE, Code.WAITING_FOR_RELEASE):
        total.update(reason.removed.get(code, {}))
    return f"; in use of those that fit: {counted(total)}" if total else ""


_CLOSED: Final = (
    Code.RETIRED, Code.LOST, Code.JOINING, Code.SUSPECT, Code.DRAINING, Code.CORDONED,
)  # fmt: skip
_SENTENCES: Final[Mapping[Code, Sentence]] = {
    Code.BACKING_OFF: _backing_off,
    Code.NO_NODES: _no_nodes,
    Code.VENDOR: _wrong_kind,
    Code.TYPE: _wrong_kind,
    Code.PASSED_OVER: _wrong_kind,
    Code.MEMORY: _memory,
    Code.DTYPE: _dtype,
    Code.TOO_MANY_CHIPS: _too_many,
    Code.HEALTH: _unhealthy,
    **dict.fromkeys(_CLOSED, _closed),
    Code.HOST_CORES: _host,
    Code.HOST_MEMORY: _host,
    Code.QUEUE_LIMIT: _queue_limit,
    Code.SHARE: _busy,
    Code.BUSY: _busy,
    Code.WAITING_FOR_RELEASE: _releasing,
    Code.PREEMPTING: _preempting,
    Code.BEHIND_HIGHER_PRIORITY: _behind,
    Code.GANG_PARTLY_FITS: _partly,
}
_TAILS: Final[Mapping[Code, Sentence]] = {
    Code.TOO_MANY_CHIPS: _too_many_tail,
    Code.HOST_CORES: _host_tail,
    Code.HOST_MEMORY: _host_tail,
    Code.BEHIND_HIGHER_PRIORITY: _behind_tail,
    Code.SHARE: _busy_tail,
    Code.BUSY: _busy_tail,
}
