"""Rows to `scheduler.Snapshot`: the pool as the planner sees it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from control_plane.store import models
from control_plane.store.gang_reader import gang_of
from control_plane.store.unit_of_work import Transaction
from penstock.api.states import ChipHealth, JobState, JobType, NodeHealth, NodeIntent
from penstock.api.vendors import vendor_table
from scheduler import model as plan
from scheduler.model import ChipId, GangId, HostShare, JobId, NodeId

_PLACED = (JobState.STARTING, JobState.RUNNING, JobState.STOPPING)


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
    and with what is known of the waiting gangs by their id.
    """

    snapshot: plan.Snapshot
    node_versions: Mapping[str, int]
    waits: Mapping[str, Wait]


def read_pool(tx: Transaction, now: datetime, suspect_after_s: float) -> Pool:
    """Everything that a cycle decides on, in one consistent read. A node that was silent for
    `suspect_after_s` takes nothing new, even while nobody has called it suspect yet.
    """
    heard_since = now - timedelta(seconds=suspect_after_s)
    leases = tx.leases.held()
    held = _Held.of(leases, _leaving(tx, leases))
    queued, gangs = tx.jobs.queued_gangs(), tx.jobs.gangs_in(_PLACED)
    jobs = {job.id: job for job in tx.jobs.many({gang.job_id for gang in gangs})}
    siblings = _placed_types(leases)
    nodes = [node for node in tx.nodes.all() if node.intent != NodeIntent.RETIRED]
    snapshot = plan.Snapshot(
        nodes=tuple(_nodes(tx, nodes, held, heard_since)),
        queued=tuple(gang_of(gang, siblings.get(gang.job_id, {})) for gang in queued),
        running=tuple(_running(tx, gangs, jobs, leases, now)),
        queues=tuple(_queue(row, held) for row in tx.queues.all()),
        speeds=_speeds(tx),
        vendors=frozenset(vendor_table()),
    )
    waits = {
        gang.id: Wait(gang.job_id, gang.index, (gang.wait or {}).get("code"), gang.not_before)
        for gang in queued
    }
    return Pool(snapshot, {node.id: node.version for node in nodes}, waits)


@dataclass(slots=True)
class _Held:
    """What leases hold of chips, hosts and queues, and how much of that is being given back."""

    leaving: set[str]
    chips: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    cores: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    memory: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    queues: dict[tuple[str, str], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0])
    )

    @classmethod
    def of(cls, leases: Iterable[models.Lease], leaving: set[str]) -> _Held:
        held = cls(leaving)
        for lease in leases:
            held._add(lease)
        return held

    def _add(self, lease: models.Lease) -> None:
        leaving = lease.replica_id in self.leaving
        entries = [
            (self.cores[lease.node_id], lease.cores_milli),
            (self.memory[lease.node_id], lease.memory_bytes),
        ]
        for chip in lease.chips:
            entries.append((self.chips[chip["chip_id"]], chip["milli"]))
            entries.append((self.queues[lease.queue, chip["type"]], chip["milli"]))
        for entry, amount in entries:
            entry[0] += amount
            entry[1] += amount if leaving else 0


def _leaving(tx: Transaction, leases: Sequence[models.Lease]) -> set[str]:
    """Replicas whose leases will end: told to stop, or ended without a release yet."""
    staying = {replica.id for replica in tx.replicas.live() if replica.desired == "run"}
    return {lease.replica_id for lease in leases} - staying


def _nodes(
    tx: Transaction, nodes: Sequence[models.Node], held: _Held, heard_since: datetime
) -> Iterable[plan.Node]:
    chips: dict[str, list[plan.Chip]] = defaultdict(list)
    for row in tx.nodes.chips():
        chips[row.node_id].append(_chip(row, held))
    for node in nodes:
        cores, memory = held.cores[node.id], held.memory[node.id]
        yield plan.Node(
            id=NodeId(node.id), name=node.name, closed=_closed(node, heard_since),
            cores_milli=node.cores_milli, free_cores_milli=node.cores_milli - cores[0],
            releasing_cores_milli=cores[1], memory_bytes=node.memory_bytes,
            free_memory_bytes=node.memory_bytes - memory[0], releasing_memory_bytes=memory[1],
            chips=tuple(chips[node.id]), labels=dict(node.labels),
        )  # fmt: skip


def _closed(node: models.Node, heard_since: datetime) -> plan.Closed | None:
    if node.intent != NodeIntent.SCHEDULABLE:
        return plan.Closed(node.intent)
    if node.health != NodeHealth.READY:
        return plan.Closed(node.health)
    heard = node.last_heartbeat_at is not None and node.last_heartbeat_at >= heard_since
    return None if heard else plan.Closed.SUSPECT


def _chip(row: models.Chip, held: _Held) -> plan.Chip:
    taken, releasing = held.chips[row.id]
    return plan.Chip(
        id=ChipId(row.id), node_id=NodeId(row.node_id), index=row.index, type=row.type,
        vendor=row.vendor, memory_bytes=row.memory_bytes,
        dtypes=frozenset(row.report.get("dtypes", ())), emulated=row.emulated,
        stands_for=row.report.get("stands_for"), healthy=row.health != ChipHealth.UNHEALTHY,
        free_milli=max(0, plan.WHOLE - taken), releasing_milli=releasing,
        cores_milli=row.cores_milli,
    )  # fmt: skip


def _queue(row: models.Queue, held: _Held) -> plan.Queue:
    mine = {kind: amounts for (queue, kind), amounts in held.queues.items() if queue == row.name}
    return plan.Queue(
        name=row.name, limits=dict(row.limits),
        used_milli={kind: amounts[0] for kind, amounts in mine.items()},
        releasing_milli={kind: amounts[1] for kind, amounts in mine.items()},
    )  # fmt: skip


def _speeds(tx: Transaction) -> plan.Speeds:
    rates: dict[str, dict[str, plan.Rate]] = {}
    for chip in tx.nodes.chips():
        known = rates.setdefault(chip.type, {})
        for key, rate in chip.report.get("rates", {}).items():
            known[key] = plan.Rate(rate["value"], rate["origin"])
    measured = {
        (row.work_class, row.chip_type): plan.Rate(row.value, row.origin) for row in tx.speeds.all()
    }
    return plan.Speeds(measured=measured, rates=rates)


def _placed_types(leases: Sequence[models.Lease]) -> Mapping[str, dict[str, int]]:
    """job → chip type → number of its replicas there."""
    placed: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for lease in leases:
        for kind in {chip["type"] for chip in lease.chips}:
            placed[lease.job_id][kind] += 1
    return placed


def _running(
    tx: Transaction, gangs: Sequence[models.Gang], jobs: Mapping[str, models.Job],
    leases: Sequence[models.Lease], now: datetime,
) -> Iterable[plan.RunningGang]:  # fmt: skip
    replicas = tx.replicas.many({lease.replica_id for lease in leases})
    by_gang: dict[str, list[models.Lease]] = defaultdict(list)
    for lease in leases:
        by_gang[replicas[lease.replica_id].gang_id].append(lease)
    saved = tx.jobs.last_commits({gang.job_id for gang in gangs})
    for gang in gangs:
        last = max(gang.since, saved.get(gang.job_id, gang.since))
        lost_work_s = (now - last).total_seconds()
        yield _running_gang(gang, jobs[gang.job_id], by_gang[gang.id], lost_work_s)


def _running_gang(
    gang: models.Gang, job: models.Job, leases: Sequence[models.Lease], lost_work_s: float
) -> plan.RunningGang:
    chips: dict[ChipId, int] = defaultdict(int)
    hosts: dict[NodeId, HostShare] = {}
    for lease in leases:
        for chip in lease.chips:
            chips[ChipId(chip["chip_id"])] += chip["milli"]
        before = hosts.get(NodeId(lease.node_id), HostShare(0, 0))
        hosts[NodeId(lease.node_id)] = HostShare(
            before.cores_milli + lease.cores_milli, before.memory_bytes + lease.memory_bytes
        )
    return plan.RunningGang(
        id=GangId(gang.id), job_id=JobId(job.id), job_name=job.name, queue=job.queue,
        priority=job.priority, started_at=gang.since, type=plan.JobType(JobType(job.type)),
        project=job.project, releasing=gang.state == JobState.STOPPING,
        chips=dict(chips), hosts=hosts,
        lost_work_s=lost_work_s, version=gang.version,
    )  # fmt: skip
