"""Takes in what an agent observed of its replicas. Repeated and late reports change nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from control_plane.domain.replica import TERMINAL, is_news
from control_plane.hints.topics import ROUTES, job_topic
from control_plane.services.deps import Deps
from control_plane.services.gangs.moves import move_replica
from control_plane.services.gangs.release import release
from control_plane.services.gangs.settle import settle
from control_plane.services.usage.learn_speed import learn_speed
from control_plane.store.models import Job, Replica
from control_plane.store.unit_of_work import Transaction
from penstock.api.assignments import Observation, Refusal, ReportReply, ReportRequest, SpeedReport
from penstock.api.ids import GangId, NodeId, ReplicaId
from penstock.api.messages import Message, said, say
from penstock.api.states import ExitReason, JobState, JobType, LeaseState, ReplicaState
from penstock.api.work import Phase, parse_work_class

MAX_RESULT_BYTES = 64 * 1024


def record_reports(deps: Deps, node_id: NodeId, request: ReportRequest) -> ReportReply:
    """Applies the observations in order, in one transaction; refuses those of dead epochs."""
    now = deps.clock.now()
    return deps.run(lambda tx: _record(tx, node_id, request, now))


def _record(tx: Transaction, node_id: NodeId, request: ReportRequest, now: datetime) -> ReportReply:
    known = tx.replicas.many({seen.replica_id for seen in request.observations})
    accepted: list[ReplicaId] = []
    refused: list[Refusal] = []
    touched: dict[GangId, Replica] = {}
    for seen in request.observations:
        refusal = refusal_of(known.get(seen.replica_id), node_id, seen.replica_id, seen.epoch)
        if refusal is None:
            replica = known[seen.replica_id]
            accepted.append(replica.id)
            if _apply(tx, replica, seen, now):
                touched[replica.gang_id] = replica
        elif not _is_repeat(known.get(seen.replica_id), seen):
            refused.append(refusal)
        else:
            accepted.append(seen.replica_id)
    for gang_id, replica in touched.items():
        _settle(tx, gang_id, replica, now)
    return ReportReply(accepted=tuple(accepted), refused=tuple(refused))


def refusal_of(
    replica: Replica | None, node_id: NodeId, replica_id: ReplicaId, epoch: int
) -> Refusal | None:
    """Why a write about a replica is refused, or None. Fencing: the epoch must be alive."""
    if replica is None:
        return Refusal(replica_id=replica_id, code="unknown_replica")
    if replica.node_id != node_id:
        return Refusal(replica_id=replica_id, code="not_yours")
    if replica.attempt != epoch or replica.state in TERMINAL:
        return Refusal(replica_id=replica_id, code="stale_epoch")
    return None


def _is_repeat(replica: Replica | None, seen: Observation) -> bool:
    """The exit that we already know, told again because our answer was lost."""
    return (
        replica is not None
        and replica.state == ReplicaState.EXITED == seen.state
        and replica.attempt == seen.epoch
    )


def _apply(tx: Transaction, replica: Replica, seen: Observation, now: datetime) -> bool:
    """Writes what is new; True if the gang has to be settled."""
    tx.hints.add(job_topic(replica.job_id))
    _apply_address(tx, replica, seen)
    _apply_readiness(tx, replica, seen, now)
    _apply_progress(tx, replica, seen, now)
    if not is_news(ReplicaState(replica.state), seen.state):
        return False
    if seen.state is ReplicaState.EXITED:
        _apply_exit(tx, replica, seen, now)
    else:
        if seen.state is ReplicaState.RUNNING:
            replica.started_at = replica.started_at or now
            tx.leases.begin(replica.id, tx.lease_time)
        why = _why_stopped(tx, replica) if seen.state is ReplicaState.STOPPING else None
        message = say("stopping_since", why=why) if why else said(seen.message or seen.state)
        move_replica(tx, replica, seen.state, message, now, seen.state)
    return True


def _apply_address(tx: Transaction, replica: Replica, seen: Observation) -> None:
    """Rank 0's address is where the other ranks meet: their nodes are told."""
    if seen.address is None or replica.address is not None:
        return
    replica.address = seen.address
    gang = tx.gangs.get(replica.gang_id)
    if replica.rank != 0 or replica.world_size == 1 or gang is None:
        return
    if gang.attempt == replica.attempt and gang.master is None:
        gang.master = seen.address
        others = tx.replicas.of_attempt(gang.id, gang.attempt)
        tx.nodes.bump_generation({other.node_id for other in others if other.rank != 0})


def _apply_readiness(tx: Transaction, replica: Replica, seen: Observation, now: datetime) -> None:
    ready = seen.ready
    if ready:
        replica.ready_at = replica.ready_at or now
    if ready is not None and ready != replica.ready and replica.desired == "run":
        replica.ready = ready
        tx.hints.add(ROUTES)


def _apply_progress(tx: Transaction, replica: Replica, seen: Observation, now: datetime) -> None:
    for speed in (*(seen.speeds or {}).values(), seen.speed):
        if speed is not None:
            _apply_speed(tx, replica, speed, now)
    if seen.progress is None and seen.result is None:
        return
    if seen.progress is not None:
        replica.progress = seen.progress.model_dump(mode="json", exclude_none=True)
    job = tx.jobs.get(replica.job_id)
    gang = tx.gangs.get(replica.gang_id)
    if job is None or gang is None or gang.attempt != replica.attempt:
        return
    if seen.progress is not None and replica.rank == 0 and job.type != JobType.SERVE:
        job.progress = replica.progress
    if seen.result is not None:
        job.result = _merged(job, seen.result)


def _apply_speed(tx: Transaction, replica: Replica, speed: SpeedReport, now: datetime) -> None:
    """A replica is shown, and gets requests, by its decoding; how fast it reads is no rival."""
    work = parse_work_class(speed.work_class)
    if work is None or work.phase is not Phase.PREFILL:
        replica.speed = speed.model_dump(mode="json")
    learn_speed(tx, replica, speed, now)


def _merged(job: Job, result: dict[str, Any]) -> dict[str, Any]:
    merged = {**job.result, **result}
    return merged if len(str(merged)) <= MAX_RESULT_BYTES else job.result


def _apply_exit(tx: Transaction, replica: Replica, seen: Observation, now: datetime) -> None:
    record: dict[str, Any] = {"code": None, "reason": "error"}
    if seen.exit is not None:
        record = seen.exit.model_dump(mode="json")
    replica.exit = record
    ended = _ended(replica, seen, now)
    replica.ended_at = ended
    replica.started_at = replica.started_at or _began(replica, record, ended)
    replica.ready = False
    reason, message = _reason_and_message(tx, replica, record)
    move_replica(tx, replica, ReplicaState.EXITED, message, now, reason)
    release(tx, replica, LeaseState.RELEASED, now)
    tx.nodes.bump_generation([replica.node_id])
    tx.hints.add(ROUTES)


def _reason_and_message(
    tx: Transaction, replica: Replica, record: dict[str, Any]
) -> tuple[str, Message]:
    """Reason and sentence of an end: the workload's own word, why it was stopped, or what its
    supervisor saw with the last line of its log.
    """
    if record.get("failure"):
        return record["failure"]["code"], said(record["failure"]["message"])
    cause = say("exit_code", exit_code=record.get("code"))
    if record["reason"] == ExitReason.STOPPED and (why := _why_stopped(tx, replica)):
        cause = say("stopped", why=why)
    elif record.get("message"):
        cause = said(record["message"])
    return record["reason"], say("exited", cause=cause, last_line=record.get("last_line"))


def _why_stopped(tx: Transaction, replica: Replica) -> Message | None:
    """Why its whole gang is being stopped, where it is."""
    gang = tx.gangs.get(replica.gang_id)
    if gang is None or gang.attempt != replica.attempt or gang.state != JobState.STOPPING:
        return None
    return gang.coded_message


def _ended(replica: Replica, seen: Observation, now: datetime) -> datetime:
    """When the process ended by its node's clock, where that can be: the report may come much
    later. The lease ends when we hear of it.
    """
    ended_at = seen.exit.ended_at if seen.exit is not None else now
    ended_at = ended_at if ended_at.tzinfo is not None else ended_at.replace(tzinfo=UTC)
    return ended_at if (replica.started_at or replica.created_at) <= ended_at <= now else now


def _began(replica: Replica, record: dict[str, Any], ended: datetime) -> datetime | None:
    """When a replica began that was over before anybody told that it runs; None: it never ran."""
    wall_s = record.get("wall_s")
    return None if wall_s is None else max(replica.created_at, ended - timedelta(seconds=wall_s))


def _settle(tx: Transaction, gang_id: GangId, replica: Replica, now: datetime) -> None:
    gang = tx.gangs.get(gang_id)
    job = tx.jobs.get(replica.job_id)
    if gang is None or job is None or gang.attempt != replica.attempt:
        return
    settle(tx, job, gang, now)
