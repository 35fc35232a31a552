"""What must hold of a cloud at every moment, as predicates over its database and its nodes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_plane.domain import job as job_domain
from control_plane.domain import replica as replica_domain
from control_plane.store.models import (
    Base,
    Change,
    Chip,
    Count,
    Endpoint,
    Event,
    Gang,
    Job,
    Lease,
    Node,
    Replica,
)
from control_plane.store.snapshot.snapshot_reader import PoolReader
from control_plane.store.unit_of_work import Transaction
from penstock.api.specs import JobSpec
from penstock.api.states import JobState
from tests.fakes.cluster import Cluster

WHOLE = 1000


@dataclass(slots=True)
class Memory:
    """What earlier checks saw: some promises are about time."""

    ended: dict[str, str] = field(default_factory=dict)
    leases: set[str] = field(default_factory=set)


def broken(cluster: Cluster, memory: Memory | None = None) -> list[str]:
    """One line for each promise that does not hold now; with a memory that was shown every step,
    those about time too.
    """
    with cluster.deps.store.read() as tx:
        rows = _Rows(tx._session)
        seen = list(_seen(cluster, tx))
    return [
        *seen,
        *_capacity(rows),
        *_truth(cluster, rows),
        *_attempts(rows),
        *_holds(rows),
        *_derived(rows),
        *_ends(rows, memory or Memory()),
        *_events(rows),
        *(_new_leases(rows, memory) if memory is not None else ()),
        *_names(rows),
        *_counts(rows),
        *_fed(rows),
    ]


def _seen(cluster: Cluster, tx: Transaction) -> Iterator[str]:
    """What is remembered of the pool between cycles is what a first look would see."""
    now, deps = tx.lease_time, cluster.deps
    if deps.read_pool(tx, now) != replace(deps, pool=PoolReader()).read_pool(tx, now):
        yield "the pool as remembered differs from the pool as it is"


def miscounted(tx: Transaction) -> list[str]:
    """What is kept against what there is."""
    return list(_counts(_Rows(tx._session)))


class _Rows:
    """Every row that the promises are about."""

    def __init__(self, session: Session) -> None:
        def every(model: type[Base]) -> Sequence[Base]:
            return session.scalars(select(model)).all()

        self.jobs = {row.id: row for row in session.scalars(select(Job))}
        self.gangs = {row.id: row for row in session.scalars(select(Gang))}
        self.replicas = {row.id: row for row in session.scalars(select(Replica))}
        self.leases = list(session.scalars(select(Lease)))
        self.nodes = {row.id: row for row in session.scalars(select(Node))}
        self.chips = {row.id: row for row in session.scalars(select(Chip))}
        self.endpoints = list(session.scalars(select(Endpoint)))
        self.events = list(session.scalars(select(Event).order_by(Event.id)))
        self.counts = list(session.scalars(select(Count).where(Count.number != 0)))
        self.changes = {row.object_id: row for row in session.scalars(select(Change))}

    @property
    def held(self) -> list[Lease]:
        return [lease for lease in self.leases if lease.state == "held"]

    def of_attempt(self, gang: Gang, attempt: int) -> list[Replica]:
        return [
            it for it in self.replicas.values() if (it.gang_id, it.attempt) == (gang.id, attempt)
        ]


def _capacity(rows: _Rows) -> Iterator[str]:
    """No chip and no host is promised twice."""
    chips: Counter[str] = Counter()
    cores: Counter[str] = Counter()
    memory: Counter[str] = Counter()
    for lease in rows.held:
        cores[lease.node_id] += lease.cores_milli
        memory[lease.node_id] += lease.memory_bytes
        for chip in lease.chips:
            chips[chip["chip_id"]] += chip["milli"]
    yield from (f"chip {key} is leased {milli}" for key, milli in chips.items() if milli > WHOLE)
    for node in rows.nodes.values():
        if cores[node.id] > node.cores_milli or memory[node.id] > node.memory_bytes:
            yield f"the host of {node.name} is leased twice"


def _truth(cluster: Cluster, rows: _Rows) -> Iterator[str]:
    """Whatever lives within its deadline holds its lease; no chip has two users."""
    held = {(lease.replica_id, lease.epoch) for lease in rows.held}
    used: Counter[str] = Counter()
    for agent in cluster.agents.values():
        for process in agent.live():
            if (process.id, process.assignment.epoch) not in held:
                yield f"{process.id} lives on {agent.name} without a lease"
            for chip in process.assignment.chips:
                used[chip.chip_id] += chip.milli
    yield from (f"chip {key} is used {milli}" for key, milli in used.items() if milli > WHOLE)


def _attempts(rows: _Rows) -> Iterator[str]:
    """One attempt at a time, each of them whole; only abandoned servers outlive theirs."""
    for gang in rows.gangs.values():
        mine = [it for it in rows.replicas.values() if it.gang_id == gang.id]
        if {it.attempt for it in mine} != set(range(1, gang.attempt + 1)):
            yield f"gang {gang.id} has attempts that are not 1 to {gang.attempt}"
        by_attempt: dict[int, list[Replica]] = defaultdict(list)
        for replica in mine:
            by_attempt[replica.attempt].append(replica)
        for attempt, replicas in by_attempt.items():
            if sorted(it.rank for it in replicas) != list(range(_size(rows.jobs[gang.job_id]))):
                yield f"gang {gang.id} is not whole in attempt {attempt}"
            living = [it for it in replicas if it.state in replica_domain.LIVE]
            if attempt != gang.attempt and living:
                abandoned = rows.jobs[gang.job_id].type == "serve"
                if not abandoned or any(it.desired == "run" for it in living):
                    yield f"gang {gang.id} has two live attempts"


def _size(job: Job) -> int:
    """Members of one of its gangs; no job here is elastic."""
    spec = JobSpec.model_validate(job.spec)
    if spec.train is not None:
        return spec.resources.chips.most
    return spec.task.replicas if spec.task is not None else 1


def _holds(rows: _Rows) -> Iterator[str]:
    """A replica holds a lease of its own epoch for exactly as long as it lives."""
    leases = {lease.replica_id: lease for lease in rows.leases}
    for replica in rows.replicas.values():
        lease = leases[replica.id]
        if (lease.state == "held") != (replica.state in replica_domain.LIVE):
            yield f"{replica.id} is {replica.state} and its lease {lease.state}"
        if lease.epoch != replica.attempt or lease.chips != replica.chips:
            yield f"the lease of {replica.id} is not its own"
    if len(leases) != len(rows.replicas):
        yield "leases without replicas"


def _derived(rows: _Rows) -> Iterator[str]:
    """States follow from what they are derived from."""
    for job in rows.jobs.values():
        gangs = [JobState(it.state) for it in rows.gangs.values() if it.job_id == job.id]
        if job.state != job_domain.derive(gangs):
            yield f"job {job.name} is {job.state}, its gangs are {sorted(gangs)}"
        for endpoint in rows.endpoints:
            ended = job.state in job_domain.TERMINAL
            if endpoint.job_id == job.id and ended != (endpoint.state == "closed"):
                yield f"endpoint {endpoint.name} is {endpoint.state}, its job {job.state}"
    for gang in rows.gangs.values():
        living = any(it.state in replica_domain.LIVE for it in rows.of_attempt(gang, gang.attempt))
        abandoned = rows.jobs[gang.job_id].type == "serve"
        if living and gang.state not in job_domain.PLACED and not abandoned:
            yield f"gang {gang.id} is {gang.state} and its replicas live"
        if gang.state in job_domain.PLACED and not living:
            yield f"gang {gang.id} is {gang.state} and none of its replicas lives"


def _ends(rows: _Rows, memory: Memory) -> Iterator[str]:
    """An end is for good, and told once."""
    told = Counter(
        event.object_id
        for event in rows.events
        if event.type in {f"job.{state}" for state in job_domain.TERMINAL}
    )
    for job in rows.jobs.values():
        ended = job.state in job_domain.TERMINAL
        if memory.ended.get(job.id, job.state) != job.state:
            yield f"job {job.name} had ended as {memory.ended[job.id]} and is {job.state}"
        if told[job.id] != (1 if ended else 0) or ended != (job.ended_at is not None):
            yield f"the end of job {job.name} was told {told[job.id]} times"
        if ended:
            memory.ended[job.id] = job.state


def _events(rows: _Rows) -> Iterator[str]:
    """Numbered per object from 1 without a gap, in the order of all."""
    last: Counter[str] = Counter()
    for event in rows.events:
        last[event.object_id] += 1
        if event.seq != last[event.object_id]:
            yield f"{event.object_id} has event {event.seq} after {last[event.object_id] - 1}"


def _new_leases(rows: _Rows, memory: Memory) -> Iterator[str]:
    """Only open, healthy nodes get new work."""
    for lease in rows.leases:
        node = rows.nodes[lease.node_id]
        if lease.id not in memory.leases and (node.intent, node.health) != ("schedulable", "ready"):
            yield f"node {node.name} got work while {node.intent} and {node.health}"
    memory.leases = {lease.id for lease in rows.leases}


def _names(rows: _Rows) -> Iterator[str]:
    live = Counter(
        (job.project_id, job.name) for job in rows.jobs.values() if job.state in job_domain.LIVE
    )
    yield from (f"{count} live jobs are named {key[1]}" for key, count in live.items() if count > 1)


def _counts(rows: _Rows) -> Iterator[str]:
    """What is kept is what there is."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    found.update(("job", it.project_id, it.queue, it.state) for it in rows.jobs.values())
    found.update(("node", it.health, it.intent, "") for it in rows.nodes.values())
    for chip in rows.chips.values():
        if chip.present and rows.nodes[chip.node_id].intent != "retired":
            found["chip", chip.vendor, chip.type, ""] += 1
            found["unhealthy", chip.vendor, chip.type, ""] += chip.health == "unhealthy"
    for lease in rows.held:
        for held in lease.chips:
            found["held", held["vendor"], held["type"], lease.queue] += held["milli"]
    kept = {(it.kind, it.first, it.second, it.third): it.number for it in rows.counts}
    if kept != +found:
        yield f"counts are {kept}, should be {+found}"


def _fed(rows: _Rows) -> Iterator[str]:
    """The feed has the newest version of everything."""
    every: list[Job | Endpoint | Node] = [*rows.jobs.values(), *rows.endpoints]
    for row in (*every, *rows.nodes.values()):
        noted = rows.changes.get(row.id)
        if noted is None or noted.version != row.version:
            yield f"{row.id} is at version {row.version}, the feed says {noted and noted.version}"
