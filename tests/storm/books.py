"""What the database says, read-only, and what of it must not be."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from control_plane.store.models import Event, Job, Lease, Node, Replica, Usage
from tests.storm.strikes import now_ns

TERMINAL: Final = ("succeeded", "failed", "cancelled")
ENDS: Final = tuple(f"job.{state}" for state in TERMINAL)
LOOK_S: Final = 0.5
WAIT_S: Final = 3


class Books:
    """Reads on connections that end with the read."""

    def __init__(self, url: str) -> None:
        options = {"timeout": WAIT_S} if url.startswith("sqlite") else {"connect_timeout": WAIT_S}
        self._engine = create_engine(url, poolclass=NullPool, connect_args=options)

    def ended(self) -> set[str]:
        """Ids of jobs that are over."""
        with Session(self._engine) as session:
            return set(session.scalars(select(Job.id).where(Job.state.in_(TERMINAL))))

    def unrest(self, accepted: Sequence[str], nodes: Sequence[str]) -> list[str]:
        """Why the cloud is not at rest."""
        found = []
        with Session(self._engine) as session:
            rows = session.execute(select(Job.id, Job.state))
            states: dict[str, str] = {row[0]: row[1] for row in rows}
            found += [
                f"lost: {job} is {states.get(job, 'not there')}"
                for job in accepted
                if states.get(job) not in TERMINAL
            ]
            held = session.scalars(select(Lease.id).where(Lease.state == "held")).all()
            found += [f"{lease} is held" for lease in held]
            ready = set(session.scalars(select(Node.name).where(Node.health == "ready")))
            found += [f"node {name} is not ready" for name in nodes if name not in ready]
        return found

    def unmetered(self) -> list[str]:
        """Ended leases whose use is not wholly counted yet."""
        with Session(self._engine) as session:
            late = Lease.rolled_up_to.is_(None) | (Lease.rolled_up_to < Lease.ended_at)
            query = select(Lease.id).where(Lease.ended_at.is_not(None), late)
            return [f"metered: {it} is not counted to its end" for it in session.scalars(query)]

    def held_chips(self) -> dict[str, dict[str, int]]:
        """replica → chip → thousandths."""
        with Session(self._engine) as session:
            rows = session.execute(select(Lease.replica_id, Lease.chips))
            return {
                replica: {chip["chip_id"]: chip["milli"] for chip in chips}
                for replica, chips in rows
            }

    def node_of(self) -> dict[str, str]:
        """replica → name of its node."""
        with Session(self._engine) as session:
            query = select(Replica.id, Node.name).join(Node, Node.id == Replica.node_id)
            return dict(session.execute(query).all())

    def attempts(self) -> dict[str, int]:
        with Session(self._engine) as session:
            query = select(Replica.job_id, func.max(Replica.attempt)).group_by(Replica.job_id)
            return {job: int(attempt) for job, attempt in session.execute(query).all()}

    def findings(self, accepted: Sequence[tuple[str, str]]) -> list[str]:
        """All that the rows alone prove. `accepted`: (idempotency key, job)."""
        with Session(self._engine) as session:
            jobs = session.scalars(select(Job)).all()
            leases = session.scalars(select(Lease)).all()
            events = session.scalars(select(Event).order_by(Event.object_id, Event.seq)).all()
            used = session.execute(
                select(Usage.job_id, Usage.chip_type, func.sum(Usage.chip_seconds)).group_by(
                    Usage.job_id, Usage.chip_type
                )
            ).all()
            return [
                *lost(jobs, accepted),
                *ends(jobs, events),
                *gaps(events),
                *overlaps(leases),
                *meetings(leases),
                *metered(leases, used),
            ]


class Observer:
    """A thread that notes when it first saw each job as ended, on the boot clock."""

    def __init__(self, books: Books) -> None:
        self.seen_ended_ns: dict[str, int] = {}
        self._books = books
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ending.wait(LOOK_S):
            try:
                ended = self._books.ended()
            except SQLAlchemyError:
                continue  # the database is what the storm struck
            at_ns = now_ns()
            for job in ended:
                self.seen_ended_ns.setdefault(job, at_ns)


def overlaps(leases: Sequence[Lease]) -> Iterator[str]:
    """A chip that was held by more than itself at one time."""
    changes: dict[str, list[tuple[datetime, int, str]]] = defaultdict(list)
    for lease in leases:
        until = lease.ended_at or datetime.max.replace(tzinfo=lease.granted_at.tzinfo)
        for chip in lease.chips:
            changes[chip["chip_id"]] += [
                (lease.granted_at, chip["milli"], lease.id),
                (until, -chip["milli"], lease.id),
            ]
    for chip_id, steps in changes.items():
        used = 0
        for at, milli, lease_id in sorted(steps):
            used += milli
            if used > 1000:
                yield f"leases overlap: chip {chip_id} from {at} on, by {lease_id}"
                break


def lost(jobs: Sequence[Job], accepted: Sequence[tuple[str, str]]) -> Iterator[str]:
    there, names = {job.id for job in jobs}, Counter(job.name for job in jobs)
    for key, job in accepted:
        if job not in there:
            yield f"lost: {job} was accepted under {key} and is not there"
    yield from (f"{count} jobs are named {name}" for name, count in names.items() if count > 1)
    for key, count in Counter(key for key, _ in accepted).items():
        if count > 1:
            yield f"{key} was answered with {count} jobs"


def ends(jobs: Sequence[Job], events: Sequence[Event]) -> Iterator[str]:
    ends = Counter(it.object_id for it in events if it.type in ENDS)
    for job in jobs:
        if job.state in TERMINAL and ends[job.id] != 1:
            yield f"{job.id} is {job.state} and ended {ends[job.id]} times by its events"


def gaps(events: Sequence[Event]) -> Iterator[str]:
    first = {events[0].object_id: events[0].seq} if events else {}
    for one, other in pairwise(events):
        if one.object_id != other.object_id:
            first[other.object_id] = other.seq
        elif other.seq != one.seq + 1:
            yield f"event gap: {one.object_id} has {other.seq} after {one.seq}"
    yield from (f"event gap: {it} begins at {seq}" for it, seq in first.items() if seq != 1)


def meetings(leases: Sequence[Lease]) -> Iterator[str]:
    """Leases of a job: those of a later attempt begin when those of the earlier have ended."""
    by_job: dict[str, list[Lease]] = defaultdict(list)
    for lease in leases:
        by_job[lease.job_id].append(lease)
    for job, ours in by_job.items():
        for one in ours:
            for other in ours:
                if one.epoch < other.epoch and (
                    one.ended_at is None or one.ended_at > other.granted_at
                ):
                    yield f"leases overlap: attempts {one.epoch} and {other.epoch} of {job}"


def metered(leases: Sequence[Lease], used: Sequence[tuple[str, str, float]]) -> Iterator[str]:
    owed: dict[tuple[str, str], float] = defaultdict(float)
    for lease in leases:
        until = lease.rolled_up_to or lease.granted_at
        if lease.ended_at is not None and until > lease.ended_at:
            yield f"metered: {lease.id} is counted beyond its end"
        for chip in lease.chips:
            seconds = (until - lease.granted_at).total_seconds()
            owed[lease.job_id, chip["type"]] += seconds * chip["milli"] / 1000
    counted = {(job, chip): seconds for job, chip, seconds in used}
    for key in owed.keys() | counted.keys():
        told, due = counted.get(key, 0.0), owed.get(key, 0.0)
        if abs(told - due) > 1e-3:
            yield f"metered: {key[0]} {told:.3f} chip-seconds of {key[1]}, its leases {due:.3f}"
