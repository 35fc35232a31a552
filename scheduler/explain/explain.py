"""Plan to readable text: for a waiting gang one sentence, the counts behind it, the ways out,
and where in the queue it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from scheduler.explain.facts import Facts
from scheduler.explain.sentences import sentence
from scheduler.explain.ways_out import ways_out
from scheduler.explain.wording import counted
from scheduler.model import Code, Gang, GangId, JobId, Reason, Snapshot
from scheduler.order import order
from scheduler.policies.base import Policy
from scheduler.policies.priority_age import POLICY

MOST_AHEAD: Final = 20
_REMOVED: Final[Mapping[Code, str]] = {
    Code.VENDOR: "of another vendor",
    Code.TYPE: "of another type",
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

    job_name: str
    code: Code
    sentence: str
    removals: tuple[Removal, ...] = ()
    unblock: tuple[str, ...] = ()
    """Ways out, each of which would do; empty where only time helps."""
    queue_position: int | None = None
    """Place of the job among all waiting jobs, from 1."""
    ahead: tuple[str, ...] = ()
    """Names of the jobs before it, the first twenty."""


class Explainer:
    """Explains any number of gangs by one snapshot."""

    def __init__(self, snapshot: Snapshot, policy: Policy, now: datetime) -> None:
        self._facts = Facts(snapshot)
        self._known: dict[object, tuple[Reason, str, tuple[str, ...]]] = {}
        self._jobs: dict[JobId, str] = {}
        self._job_of: dict[GangId, JobId] = {}
        for gang in order(snapshot.queued, policy, now):
            self._jobs.setdefault(gang.job_id, gang.job_name)
            self._job_of[gang.id] = gang.job_id
        self._positions = {job: place for place, job in enumerate(self._jobs, start=1)}
        self._names = tuple(self._jobs.values())

    def explain(self, reason: Reason, gang: Gang) -> Explanation:
        """The reason in words. A gang that is not queued has no position."""
        text, ways = self._words(reason, gang)
        position = self._positions.get(gang.job_id)
        return Explanation(
            job_name=gang.job_name,
            code=reason.code,
            sentence=text,
            removals=tuple(_removal(code, chips) for code, chips in reason.removed.items()),
            unblock=ways,
            queue_position=position,
            ahead=self._names[: min(MOST_AHEAD, (position or 1) - 1)],
        )

    def _words(self, reason: Reason, gang: Gang) -> tuple[str, tuple[str, ...]]:
        """Equal gangs with one reason share their words."""
        key = (id(reason), gang.request, gang.least, gang.most, gang.mix, gang.type)
        if key not in self._known:
            text = sentence(gang, reason, self._facts)
            self._known[key] = reason, text, ways_out(gang, reason, self._facts)
        _, text, ways = self._known[key]  # the reason is kept, so that its id stays its own
        return text, ways


def explain(
    reason: Reason, gang: Gang, snapshot: Snapshot, policy: Policy = POLICY,
    now: datetime | None = None,
) -> Explanation:  # fmt: skip
    """One gang's reason in words. `now` matters only to policies whose order it changes."""
    return Explainer(snapshot, policy, now or gang.created_at).explain(reason, gang)


def _removal(code: Code, chips: Mapping[str, int]) -> Removal:
    return Removal(code, f"{counted(chips)}: {_REMOVED[code]}", chips)
