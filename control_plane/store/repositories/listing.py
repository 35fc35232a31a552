"""Bounded reads for lists: pages in a stable order, and counts in one query instead of many."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from control_plane.domain.job import PLACED
from control_plane.domain.replica import LIVE
from control_plane.store.models import (
    Checkpoint,
    Chip,
    Endpoint,
    Event,
    Gang,
    Job,
    Node,
    Project,
    Queue,
    Replica,
    Token,
    TokenUsage,
)
from control_plane.store.repositories.paging import Slice, page_of
from penstock.api.states import JobState, NodeIntent

PLACED_STATES = tuple(sorted(PLACED))
LIVE_REPLICAS = tuple(sorted(LIVE))


class LogEnd(NamedTuple):
    """How far one replica's log goes, without the rest of the row."""

    replica_id: str
    gang: int
    attempt: int
    rank: int
    state: str
    end: int
    exit: dict[str, Any] | None
    since: datetime
    """When we heard of its state: the end of a log is waited for from then on."""


class QueueLoad(NamedTuple):
    """Jobs of one queue: how many wait and run, and since when the oldest waits."""

    waiting: int
    running: int
    oldest: datetime | None


def nodes_page(session: Session, limit: int, cursor: str | None, retired: bool) -> Slice[Node]:
    """Those that are out of the pool for good only where `retired` asks for them too."""
    query = select(Node) if retired else select(Node).where(Node.intent != NodeIntent.RETIRED)
    return page_of(session, query, Node.name, limit, cursor, of=("nodes", retired))


def queues_page(session: Session, limit: int, cursor: str | None) -> Slice[Queue]:
    return page_of(session, select(Queue), Queue.name, limit, cursor, of=("queues",))


def projects_page(
    session: Session, limit: int, cursor: str | None, project_id: str | None
) -> Slice[Project]:
    query = select(Project)
    if project_id is not None:
        query = query.where(Project.id == project_id)
    return page_of(session, query, Project.name, limit, cursor, of=("projects", project_id))


def tokens_page(session: Session, limit: int, cursor: str | None) -> Slice[Token]:
    return page_of(session, select(Token), Token.id, limit, cursor, of=("tokens",))


def chips_page(
    session: Session, limit: int, cursor: str | None, retired: bool, **columns: str | None
) -> Slice[Chip]:
    """Chips present now; `columns` (node_id, type, vendor) filter where they are not None, and
    chips of retired nodes are among them where `retired` says so.
    """
    query = select(Chip).where(Chip.present)
    if not retired:
        out = select(Node.id).where(Node.intent == NodeIntent.RETIRED)
        query = query.where(Chip.node_id.not_in(out))
    for name, value in columns.items():
        if value is not None:
            query = query.where(getattr(Chip, name) == value)
    return page_of(session, query, Chip.id, limit, cursor, of=("chips", retired, columns))


def endpoints_page(
    session: Session, limit: int, cursor: str | None, project_id: str | None, state: str | None
) -> Slice[Endpoint]:
    query = select(Endpoint)
    if project_id is not None:
        query = query.where(Endpoint.project_id == project_id)
    if state is not None:
        query = query.where(Endpoint.state == state)
    of = ("endpoints", project_id, state)
    return page_of(session, query, Endpoint.id, limit, cursor, of=of, newest_first=True)


def replicas_page(
    session: Session, limit: int, cursor: str | None, **columns: str | None
) -> Slice[Replica]:
    """Newest first; `columns` (project_id, job_id, node_id, state) filter where not None."""
    query = select(Replica)
    for name, value in columns.items():
        if value is not None:
            query = query.where(getattr(Replica, name) == value)
    of = ("replicas", columns)
    return page_of(session, query, Replica.id, limit, cursor, of=of, newest_first=True)


def checkpoints_page(
    session: Session, job_id: str, limit: int, cursor: str | None
) -> Slice[Checkpoint]:
    query = select(Checkpoint).where(Checkpoint.job_id == job_id)
    of = ("checkpoints", job_id)
    return page_of(session, query, Checkpoint.id, limit, cursor, of=of, newest_first=True)


def events_page(
    session: Session, limit: int, cursor: str | None, project_id: str | None, oldest_first: bool
) -> Slice[Event]:
    query = select(Event)
    if project_id is not None:
        query = query.where(Event.project_id == project_id)
    of = ("events", project_id)
    return page_of(session, query, Event.id, limit, cursor, of=of, newest_first=not oldest_first)


def events_of_page(
    session: Session, object_id: str, limit: int, cursor: str | None
) -> Slice[Event]:
    """Events of one object from the first on."""
    query = select(Event).where(Event.object_id == object_id)
    return page_of(session, query, Event.seq, limit, cursor, of=("events of", object_id))


def log_ends(session: Session, job_id: str) -> Sequence[LogEnd]:
    """The logs of all replicas of a job, in order of gang, attempt and rank."""
    rows = session.execute(
        select(
            Replica.id, Replica.gang_index, Replica.attempt, Replica.rank, Replica.state,
            Replica.log_bytes, Replica.exit, Replica.since,
        )
        .where(Replica.job_id == job_id)
        .order_by(Replica.gang_index, Replica.attempt, Replica.rank)
    )  # fmt: skip
    return [LogEnd(*row) for row in rows]


def queue_loads(session: Session) -> dict[str, QueueLoad]:
    """Waiting and running jobs of every queue that has any."""
    rows = session.execute(
        select(Job.queue, Job.state, func.count(), func.min(Job.created_at))
        .where(Job.state.in_((JobState.QUEUED, *PLACED_STATES)))
        .group_by(Job.queue, Job.state)
    )
    loads: dict[str, QueueLoad] = {}
    for queue, state, count, oldest in rows:
        load = loads.get(queue, QueueLoad(0, 0, None))
        if state == JobState.QUEUED:
            loads[queue] = QueueLoad(count, load.running, oldest)
        else:
            loads[queue] = load._replace(running=load.running + count)
    return loads


def live_replicas_of(session: Session, job_ids: Collection[str]) -> Sequence[Replica]:
    """Replicas that have not ended, in order."""
    if not job_ids:
        return ()
    return session.scalars(
        select(Replica)
        .where(Replica.job_id.in_(tuple(job_ids)), Replica.state.in_(LIVE_REPLICAS))
        .order_by(Replica.gang_index, Replica.rank)
    ).all()


def job_names(session: Session, job_ids: Collection[str]) -> dict[str, tuple[str, str]]:
    """Job id → (name, project id)."""
    if not job_ids:
        return {}
    rows = session.execute(
        select(Job.id, Job.name, Job.project_id).where(Job.id.in_(tuple(job_ids)))
    )
    return {job_id: (name, project_id) for job_id, name, project_id in rows}


def attempts(session: Session, job_ids: Collection[str]) -> dict[str, int]:
    """Job id → number of the newest attempt of any of its gangs; 0 before the first."""
    if not job_ids:
        return {}
    rows = session.execute(
        select(Gang.job_id, func.max(Gang.attempt))
        .where(Gang.job_id.in_(tuple(job_ids)))
        .group_by(Gang.job_id)
    )
    return {row[0]: row[1] for row in rows}


def node_names(session: Session, node_ids: Collection[str]) -> dict[str, str]:
    if not node_ids:
        return {}
    rows = session.execute(select(Node.id, Node.name).where(Node.id.in_(tuple(node_ids))))
    return {row[0]: row[1] for row in rows}


def project_names(session: Session, project_ids: Collection[str]) -> dict[str, str]:
    if not project_ids:
        return {}
    rows = session.execute(
        select(Project.id, Project.name).where(Project.id.in_(tuple(project_ids)))
    )
    return {row[0]: row[1] for row in rows}


def tokens_worked(session: Session, endpoint_ids: Collection[str]) -> dict[str, tuple[int, int]]:
    """Endpoint id → (prompt, completion) tokens in all."""
    if not endpoint_ids:
        return {}
    rows = session.execute(
        select(
            TokenUsage.endpoint_id,
            func.sum(TokenUsage.prompt_tokens),
            func.sum(TokenUsage.completion_tokens),
        )
        .where(TokenUsage.endpoint_id.in_(tuple(endpoint_ids)))
        .group_by(TokenUsage.endpoint_id)
    )
    return {endpoint: (int(prompt), int(completion)) for endpoint, prompt, completion in rows}


def vendors_of_type(session: Session, chip_type: str) -> Sequence[str]:
    """Whose chips of that type a node ever reported."""
    return session.scalars(select(Chip.vendor).where(Chip.type == chip_type).distinct()).all()


def known_chip_types(session: Session) -> Sequence[str]:
    """Every type that a node ever reported, whether its chips are present or not."""
    return session.scalars(select(Chip.type).distinct().order_by(Chip.type)).all()
