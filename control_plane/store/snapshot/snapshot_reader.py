"""Rows to `scheduler.Snapshot`: the pool as the planner sees it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from control_plane.domain.replica import LIVE
from control_plane.store import models
from control_plane.store.repositories.jobs import PlacedGang
from control_plane.store.repositories.leases import Hold
from control_plane.store.repositories.nodes import Host
from control_plane.store.snapshot.chip_facts import ChipFacts, NodeFacts
from control_plane.store.snapshot.gang_reader import gang_of
from control_plane.store.unit_of_work import Transaction
from penstock.api.states import JobState, JobType, NodeHealth, NodeIntent
from penstock.api.vendors import vendor_table
from scheduler import model as plan
from scheduler.model import ChipId, GangId, HostShare, JobId, NodeId


@dataclass(frozen=True, slots=True)
class Wait:
    """What is written of a queued gang's waiting so far."""

    job_id: str
    index: int
    code: str | None
    not_before: datetime | None


@dataclass(frozen=True, slots=True)
class Pool:
    """A snapshot with the versions of its nodes, which guard the commit of a plan made of it,
    and with what is known of the waiting gangs by their id. `lease_time` is that of the read.
    """

    snapshot: plan.Snapshot
    node_versions: Mapping[str, int]
    waits: Mapping[str, Wait]
    lease_time: datetime


class PoolReader:
    """Reads the pool as it is, and remembers of its chips what does not change."""

    def __init__(self) -> None:
        self._facts = ChipFacts()

    def read(self, tx: Transaction, now: datetime, suspect_after_s: float) -> Pool:
        """Everything that a cycle decides on, in one consistent read. A node that was silent for
        `suspect_after_s` takes nothing new, even while nobody has called it suspect yet.
        """
        heard_since = tx.lease_time - timedelta(seconds=suspect_after_s)
        ahead = now - tx.lease_time  # the planner's times are those that people are told
        hosts, holds, queued = tx.nodes.hosts(), tx.leases.holds(), tx.jobs.queued_gangs()
        versions = {host.id: host.version for host in hosts}
        facts, held, siblings = self._facts.of(tx, versions), _Held.of(holds), _placed_types(holds)
        snapshot = plan.Snapshot(
            nodes=tuple(_node(host, facts[host.id], held, heard_since) for host in hosts),
            queued=tuple(gang_of(gang, siblings.get(gang.job_id, {}), ahead) for gang in queued),
            running=tuple(_running(tx, holds, now)),
            queues=tuple(_queue(row, held) for row in tx.queues.all()),
            speeds=_speeds(tx, facts.values()),
            vendors=frozenset(vendor_table()),
        )
        waits = {
            gang.id: Wait(gang.job_id, gang.index, (gang.wait or {}).get("code"), gang.not_before)
            for gang in queued
        }
        return Pool(snapshot, versions, waits, tx.lease_time)


@dataclass(slots=True)
class _Held:
    """What leases hold of chips, hosts and queues, and how much of that is being given back."""

    chips: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    cores: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    memory: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    queues: dict[tuple[str, str], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0])
    )

    @classmethod
    def of(cls, holds: Iterable[Hold]) -> _Held:
        held = cls()
        for hold in holds:
            held._add(hold)
        return held

    def _add(self, hold: Hold) -> None:
        entries = [
            (self.cores[hold.node_id], hold.cores_milli),
            (self.memory[hold.node_id], hold.memory_bytes),
        ]
        for chip in hold.chips:
            entries.append((self.chips[chip["chip_id"]], chip["milli"]))
            entries.append((self.queues[hold.queue, chip["type"]], chip["milli"]))
        leaving = _is_leaving(hold)
        for entry, amount in entries:
            entry[0] += amount
            entry[1] += amount if leaving else 0


def _is_leaving(hold: Hold) -> bool:
    """Whether it will end soon: the replica was told to stop, or ended without a release yet."""
    return hold.desired != "run" or hold.replica_state not in LIVE


def _node(host: Host, facts: NodeFacts, held: _Held, heard_since: datetime) -> plan.Node:
    cores, memory = held.cores.get(host.id, (0, 0)), held.memory.get(host.id, (0, 0))
    return plan.Node(
        id=NodeId(host.id), name=host.name, closed=_closed(host, heard_since),
        cores_milli=host.cores_milli, free_cores_milli=host.cores_milli - cores[0],
        releasing_cores_milli=cores[1], memory_bytes=host.memory_bytes,
        free_memory_bytes=host.memory_bytes - memory[0], releasing_memory_bytes=memory[1],
        chips=tuple(_chip(chip, held) for chip in facts.chips), labels=host.labels,
    )  # fmt: skip


def _closed(host: Host, heard_since: datetime) -> plan.Closed | None:
    if host.intent != NodeIntent.SCHEDULABLE:
        return plan.Closed(host.intent)
    if host.health != NodeHealth.READY:
        return plan.Closed(host.health)
    heard = host.heard_at is not None and host.heard_at >= heard_since
    return None if heard else plan.Closed.SUSPECT


def _chip(chip: plan.Chip, held: _Held) -> plan.Chip:
    if chip.id not in held.chips:
        return chip
    taken, releasing = held.chips[chip.id]
    return replace(chip, free_milli=max(0, plan.WHOLE - taken), releasing_milli=releasing)


def _queue(row: models.Queue, held: _Held) -> plan.Queue:
    mine = {kind: amounts for (queue, kind), amounts in held.queues.items() if queue == row.name}
    return plan.Queue(
        name=row.name, limits=dict(row.limits),
        used_milli={kind: amounts[0] for kind, amounts in mine.items()},
        releasing_milli={kind: amounts[1] for kind, amounts in mine.items()},
    )  # fmt: skip


def _speeds(tx: Transaction, facts: Iterable[NodeFacts]) -> plan.Speeds:
    rates: dict[str, dict[str, plan.Rate]] = defaultdict(dict)
    for node in facts:
        for chip_type, known in node.rates.items():
            rates[chip_type].update(known)
    measured = {
        (row.work_class, row.chip_type): plan.Rate(row.value, row.origin) for row in tx.speeds.all()
    }
    return plan.Speeds(measured=measured, rates=rates)


def _placed_types(holds: Iterable[Hold]) -> Mapping[str, dict[str, int]]:
    """job → chip type → number of its replicas there."""
    placed: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for hold in holds:
        for kind in {chip["type"] for chip in hold.chips}:
            placed[hold.job_id][kind] += 1
    return placed


def _running(tx: Transaction, holds: Iterable[Hold], now: datetime) -> Iterable[plan.RunningGang]:
    by_gang: dict[str, list[Hold]] = defaultdict(list)
    for hold in holds:
        by_gang[hold.gang_id].append(hold)
    saved = tx.jobs.last_commits()
    for gang in tx.jobs.placed_gangs():
        last = max(gang.since, saved.get(gang.job_id, gang.since))
        yield _running_gang(gang, by_gang[gang.id], (now - last).total_seconds())


def _running_gang(gang: PlacedGang, holds: Sequence[Hold], lost_work_s: float) -> plan.RunningGang:
    chips: dict[ChipId, int] = defaultdict(int)
    hosts: dict[NodeId, HostShare] = {}
    for hold in holds:
        for chip in hold.chips:
            chips[ChipId(chip["chip_id"])] += chip["milli"]
        before = hosts.get(NodeId(hold.node_id), HostShare(0, 0))
        hosts[NodeId(hold.node_id)] = HostShare(
            before.cores_milli + hold.cores_milli, before.memory_bytes + hold.memory_bytes
        )
    return plan.RunningGang(
        id=GangId(gang.id), job_id=JobId(gang.job_id), job_name=gang.job_name, queue=gang.queue,
        priority=gang.priority, started_at=gang.since, type=plan.JobType(JobType(gang.type)),
        project=gang.project, releasing=gang.state == JobState.STOPPING, chips=dict(chips),
        hosts=hosts, lost_work_s=lost_work_s, version=gang.version,
    )  # fmt: skip
