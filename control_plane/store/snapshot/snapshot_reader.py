"""Rows to `scheduler.Snapshot`: the pool as the planner sees it, kept between cycles. Only what has
changed is read again: chips by the version of their node, gangs by their own, leases by their id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from control_plane.domain.replica import LIVE
from control_plane.store import models
from control_plane.store.repositories.batches import few_or_all
from control_plane.store.repositories.gangs import PlacedGang, WaitingGang
from control_plane.store.repositories.leases import HeldLease
from control_plane.store.repositories.nodes import Host, Standing
from control_plane.store.repositories.speeds import nearest_speeds
from control_plane.store.snapshot.chip_facts import ChipFacts, NodeFacts
from control_plane.store.snapshot.gang_reader import gang_of
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import GangId, JobId, LeaseId, NodeId
from penstock.api.states import JobState, JobType, NodeHealth, NodeIntent
from penstock.api.vendors import vendor_table
from scheduler import model as plan
from scheduler.model import HostShare
from scheduler.snapshot.columns import Columns

IdT = TypeVar("IdT", NodeId, GangId)
VersionedT = TypeVar("VersionedT", Host, PlacedGang)
Hold = tuple[HeldLease, bool]
"""What is held, and whether it is being given back."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What is written of a queued gang's waiting so far."""

    job_id: JobId
    index: int
    code: str | None
    not_before: datetime | None


@dataclass(frozen=True, slots=True)
class PoolReading:
    """A snapshot with the versions of its nodes, which guard the commit of a plan made of it,
    and with what is known of the waiting gangs by their id. `lease_time` is that of the read.
    """

    snapshot: plan.Snapshot
    node_versions: Mapping[NodeId, int]
    waits: Mapping[plan.GangId, Wait]
    lease_time: datetime


@dataclass(slots=True)
class _Seen:
    """What the last read saw, with what tells whether it still holds."""

    leases: dict[LeaseId, HeldLease] = field(default_factory=dict)
    hosts: Mapping[NodeId, Host] = field(default_factory=dict)
    nodes: dict[NodeId, tuple[object, plan.Node]] = field(default_factory=dict)
    queued: dict[GangId, tuple[int, plan.Gang]] = field(default_factory=dict)
    placed: Mapping[GangId, PlacedGang] = field(default_factory=dict)
    running: dict[GangId, tuple[object, plan.RunningGang]] = field(default_factory=dict)
    columns: Columns | None = None


class PoolReader:
    """Reads the pool as it is. Any number of threads may ask."""

    def __init__(self) -> None:
        self._facts = ChipFacts()
        self._seen = _Seen()

    def read(self, tx: Transaction, now: datetime, suspect_after_s: float) -> PoolReading:
        """Everything that a cycle decides on, in one consistent read. A node that was silent for
        `suspect_after_s` takes nothing new, even while nobody has called it suspect yet.
        """
        heard_since = tx.lease_time - timedelta(seconds=suspect_after_s)
        ahead = now - tx.lease_time  # the planner's times are those that people are told
        before, seen = self._seen, _Seen()
        standing, waiting = tx.nodes.standing(heard_since), tx.gangs.waiting()
        versions = {it.id: it.version for it in standing}
        seen.hosts = _as_of(versions, before.hosts, tx.nodes.hosts)
        facts, holds = self._facts.of(tx, versions), _holds(tx, before, seen)
        by_node: dict[NodeId, list[Hold]] = defaultdict(list)
        for hold in holds:
            by_node[hold[0].node_id].append(hold)
        nodes = tuple(
            _node(it, facts[it.id], tuple(by_node.get(it.id, ())), before, seen) for it in standing
        )
        seen.columns = Columns(nodes, before.columns)
        gangs = tuple(_queued(tx, waiting, holds, ahead, before, seen))
        snapshot = plan.Snapshot(
            nodes=nodes,
            queued=gangs,
            running=tuple(_running(tx, holds, before, seen)),
            queues=tuple(_queue(row, holds) for row in tx.queues.all()),
            speeds=_speeds(tx, facts.values(), gangs),
            vendors=frozenset(vendor_table()),
            columns=seen.columns,
        )
        self._seen = seen
        waits = {
            plan.GangId(it.id): Wait(it.job_id, it.index, it.code, it.not_before) for it in waiting
        }
        return PoolReading(snapshot, versions, waits, tx.lease_time)


def _as_of(
    versions: Mapping[IdT, int],
    known: Mapping[IdT, VersionedT],
    read: Callable[[Sequence[IdT] | None], Mapping[IdT, VersionedT]],
) -> Mapping[IdT, VersionedT]:
    """What is known at these versions, and what is read since it is not."""
    missing = [it for it, at in versions.items() if it not in known or known[it].version != at]
    found: dict[IdT, VersionedT] = {}
    for some in few_or_all(missing, len(versions)):
        found.update(read(some))
    return {it: found.get(it) or known[it] for it in versions}


def _holds(tx: Transaction, before: _Seen, seen: _Seen) -> Sequence[Hold]:
    """What leases hold does not change while they are held."""
    rows = tx.leases.standing()
    found = {lease_id: before.leases.get(lease_id) for lease_id, _, _ in rows}
    missing = [lease_id for lease_id, lease in found.items() if lease is None]
    for some in few_or_all(missing, len(found)):
        found.update({lease.id: lease for lease in tx.leases.holds(some)})
    seen.leases = {lease_id: lease for lease_id, lease in found.items() if lease is not None}
    return [
        (seen.leases[lease_id], desired != "run" or state not in LIVE)
        for lease_id, state, desired in rows
        if lease_id in seen.leases
    ]


def _node(
    standing: Standing, facts: NodeFacts, holds: tuple[Hold, ...], before: _Seen, seen: _Seen
) -> plan.Node:
    closed = _closed(standing)
    by, node = before.nodes.get(standing.id, (None, None))
    key = (standing.version, closed, holds)
    if node is None or by != key:
        node = _made_node(standing.name, seen.hosts[standing.id], facts, holds, closed)
    seen.nodes[standing.id] = key, node
    return node


def _made_node(
    name: str, host: Host, facts: NodeFacts, holds: Sequence[Hold], closed: plan.Closed | None
) -> plan.Node:
    """Beside what is free: what is held by those that will end soon, told to or ended already."""
    cores, memory, chips = [0, 0], [0, 0], defaultdict[str, list[int]](lambda: [0, 0])
    for lease, leaving in holds:
        entries = [(cores, lease.cores_milli), (memory, lease.memory_bytes)]
        entries += [(chips[it["chip_id"]], it["milli"]) for it in lease.chips]
        for entry, amount in entries:
            entry[0] += amount
            entry[1] += amount if leaving else 0
    return plan.Node(
        id=plan.NodeId(host.id),
        name=name,
        closed=closed,
        cores_milli=host.cores_milli,
        free_cores_milli=host.cores_milli - cores[0],
        releasing_cores_milli=cores[1],
        memory_bytes=host.memory_bytes,
        free_memory_bytes=host.memory_bytes - memory[0],
        releasing_memory_bytes=memory[1],
        chips=tuple(_held(it, *chips[it.id]) if it.id in chips else it for it in facts.chips),
        labels=host.labels,
    )


def _closed(node: Standing) -> plan.Closed | None:
    if node.intent != NodeIntent.SCHEDULABLE:
        return plan.Closed(node.intent)
    if node.health != NodeHealth.READY:
        return plan.Closed(node.health)
    return None if node.heard else plan.Closed.SUSPECT


def _held(chip: plan.Chip, taken: int, releasing: int) -> plan.Chip:
    return chip.held(max(0, plan.WHOLE - taken), releasing)


def _queued(
    tx: Transaction,
    waiting: Sequence[WaitingGang],
    holds: Iterable[Hold],
    ahead: timedelta,
    before: _Seen,
    seen: _Seen,
) -> Iterable[plan.Gang]:
    known = before.queued
    seen.queued = {
        it.id: known[it.id] for it in waiting if it.id in known and known[it.id][0] == it.version
    }
    missing = [it.id for it in waiting if it.id not in seen.queued]
    for some in few_or_all(missing, len(waiting)):
        for row in tx.gangs.queued(some):
            seen.queued[row.id] = row.version, gang_of(row)
    spread = {JobId(gang.job_id) for _, gang in seen.queued.values() if gang.spread}
    siblings = _placed_types(holds, spread)
    for it in waiting:
        gang = seen.queued[it.id][1]
        if it.not_before is not None:
            gang = replace(gang, not_before=it.not_before + ahead)
        placed = siblings.get(it.job_id)
        yield gang if placed is None else replace(gang, sibling_types=placed)


def _queue(row: models.Queue, holds: Iterable[Hold]) -> plan.Queue:
    """What a queue without limits holds is of no interest."""
    used: dict[str, int] = defaultdict(int)
    releasing: dict[str, int] = defaultdict(int)
    for lease, leaving in holds if row.limits else ():
        for chip in lease.chips if lease.queue == row.name else ():
            used[chip["type"]] += chip["milli"]
            releasing[chip["type"]] += chip["milli"] if leaving else 0
    return plan.Queue(row.name, dict(row.limits), dict(used), dict(releasing))


def _speeds(tx: Transaction, facts: Iterable[NodeFacts], gangs: Iterable[plan.Gang]) -> plan.Speeds:
    rates: dict[str, dict[str, plan.Rate]] = defaultdict(dict)
    for node in facts:
        for chip_type, known in node.rates.items():
            rates[chip_type].update(known)
    phases = {it.work_class for gang in gangs for it in (gang.work, gang.work.prefill) if it}
    return plan.Speeds(measured=nearest_speeds(tx.speeds.all(), phases), rates=rates)


def _placed_types(holds: Iterable[Hold], jobs: set[JobId]) -> Mapping[JobId, dict[str, int]]:
    """job → chip type → number of its replicas there, of these jobs."""
    placed: dict[JobId, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for lease, _ in holds if jobs else ():
        for kind in {chip["type"] for chip in lease.chips if lease.job_id in jobs}:
            placed[lease.job_id][kind] += 1
    return placed


def _running(
    tx: Transaction, holds: Iterable[Hold], before: _Seen, seen: _Seen
) -> Iterable[plan.RunningGang]:
    by_gang: dict[GangId, list[HeldLease]] = defaultdict(list)
    for lease, _ in holds:
        by_gang[lease.gang_id].append(lease)
    saved = tx.checkpoints.last_commits()
    seen.placed = _as_of(dict(tx.gangs.placed_versions()), before.placed, tx.gangs.placed)
    for gang in seen.placed.values():
        saved_at = max(gang.since, saved.get(gang.job_id, gang.since))
        key = (gang.version, saved_at, tuple(by_gang.get(gang.id, ())))
        by, running = before.running.get(gang.id, (None, None))
        if running is None or by != key:
            running = _running_gang(gang, by_gang.get(gang.id, ()), saved_at)
        seen.running[gang.id] = key, running
        yield running


def _running_gang(
    gang: PlacedGang, holds: Sequence[HeldLease], saved_at: datetime
) -> plan.RunningGang:
    chips: dict[plan.ChipId, int] = defaultdict(int)
    hosts: dict[plan.NodeId, HostShare] = {}
    for hold in holds:
        for chip in hold.chips:
            chips[plan.ChipId(chip["chip_id"])] += chip["milli"]
        before = hosts.get(plan.NodeId(hold.node_id), HostShare(0, 0))
        hosts[plan.NodeId(hold.node_id)] = HostShare(
            before.cores_milli + hold.cores_milli, before.memory_bytes + hold.memory_bytes
        )
    return plan.RunningGang(
        id=plan.GangId(gang.id),
        job_id=plan.JobId(gang.job_id),
        job_name=gang.job_name,
        queue=gang.queue,
        priority=gang.priority,
        started_at=gang.since,
        type=plan.JobType(JobType(gang.type)),
        project=gang.project,
        releasing=gang.state == JobState.STOPPING,
        chips=dict(chips),
        hosts=hosts,
        saved_at=saved_at,
        version=gang.version,
    )
