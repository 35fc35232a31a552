"""Why a gang waits, in readable text: one sentence, the counts behind it, the ways out, and where
in the queue it stands. Made on demand, for one gang of one snapshot.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from scheduler.explain.diagnosis import diagnose
from scheduler.explain.facts import Facts
from scheduler.explain.reason import Reason
from scheduler.explain.sentences import sentence
from scheduler.explain.ways_out import ways_out
from scheduler.explain.wording import counted
from scheduler.model import Code, Gang, GangId, JobId, Snapshot
from scheduler.order import order
from scheduler.plan import Draft
from scheduler.policies.base import Policy

MOST_AHEAD: Final = 20
_REMOVED: Final[Mapping[Code, str]] = {
    Code.VENDOR: "of another vendor",
    Code.TYPE: "of another type",
    Code.PASSED_OVER: "left out by `any`: hosts' processors while other chips would do, "
    "and what training cannot drive",
    Code.MEMORY: "too little memory, or none known",
    Code.DTYPE: "do not compute in the number format",
    Code.HEALTH: "unhealthy",
    Code.RETIRED: "on retired nodes",
    Code.LOST: "on lost nodes",
    Code.JOINING: "on nodes that are joining",
    Code.SUSPECT: "on suspect nodes",
    Code.DRAINING: "on draining nodes",
    Code.CORDONED: "on cordoned nodes",
    Code.QUEUE_LIMIT: "beyond the queue's limit",
    Code.BUSY: "in use",
    Code.WAITING_FOR_RELEASE: "being released",
    Code.SHARE: "partly in use, with too little left",
    Code.HOST_CORES: "free, but with too few free host cores beside them",
    Code.HOST_MEMORY: "free, but with too little free host memory beside them",
    Code.TOO_MANY_CHIPS: "free, but too few on one node",
}


@dataclass(frozen=True, slots=True)
class Removal:
    """One constraint and the chips of each type that it removed from consideration."""

    code: Code
    message: str
    chips: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a gang waits, and what would let it start."""

    gang_id: GangId
    job_name: str
    code: Code
    sentence: str
    removals: tuple[Removal, ...] = ()
    unblock: tuple[str, ...] = ()
    """Ways out, each of which would do; empty where only time helps."""
    queue_position: int = 1
    """Place of the job among all waiting jobs, from 1."""
    ahead: tuple[str, ...] = ()
    """Names of the jobs before it, the first twenty."""


def explain(
    snapshot: Snapshot, policy: Policy, now: datetime, gang_ids: Collection[GangId]
) -> Explanation | None:
    """The first of these gangs that a cycle would leave waiting, as things are at its turn; None
    if all of them would start.
    """
    draft, jobs = Draft(snapshot, policy, now), dict[JobId, str]()
    for gang in order(snapshot.queued, policy, now):
        jobs.setdefault(gang.job_id, gang.job_name)
        if gang.id not in gang_ids:
            draft.decide(gang)
        elif (reason := diagnose(draft, gang)) is not None:
            return _explanation(gang, reason, Facts(snapshot), jobs)
    return None


def _explanation(
    gang: Gang, reason: Reason, facts: Facts, jobs: Mapping[JobId, str]
) -> Explanation:
    """`jobs` are those up to the gang's own, in order."""
    position = list(jobs).index(gang.job_id)
    return Explanation(
        gang_id=gang.id,
        job_name=gang.job_name,
        code=reason.code,
        sentence=sentence(gang, reason, facts),
        removals=tuple(_removal(code, chips) for code, chips in reason.removed.items()),
        unblock=ways_out(gang, reason, facts),
        queue_position=position + 1,
        ahead=tuple(jobs.values())[: min(MOST_AHEAD, position)],
    )


def _removal(code: Code, chips: Mapping[str, int]) -> Removal:
    return Removal(code, f"{counted(chips)}: {_REMOVED[code]}", chips)
