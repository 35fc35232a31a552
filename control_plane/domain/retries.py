"""Who pays for a failed attempt, when a gang is given up, and how long the next attempt waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from penstock.api.states import ExitReason, Outcome
from penstock.backoff import doubled_s

INFRASTRUCTURE: Final = frozenset(
    {ExitReason.KILLED, ExitReason.LEASE_EXPIRED, ExitReason.LOST, ExitReason.PEER_LOST}
)
TEMPORARY_FAILURE_CODE: Final = 75
"""EX_TEMPFAIL of sysexits.h: a replica says that the fault was not its own, for example a rank
that lost a peer. It is tried again within the infrastructure's budget."""
INFRASTRUCTURE_LIMIT: Final = 5
"""Attempts in a row that the infrastructure may spoil: a program that kills itself at once ends
within a minute."""
SERVER_START_LIMIT: Final = 5
"""Starts in a row that a serving replica may fail before it has answered once, and be started
again. One that has answered is started again as long as its job is wanted."""
LASTING_S: Final = 600.0
"""An attempt that ran so long was no false start: faults before it are forgotten."""
FIRST_BACKOFF_S: Final = 1.0
MOST_BACKOFF_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Failures:
    """Attempts that failed so far, by who is to blame; and how many of the last ones in a row
    did not last, whoever is to blame.
    """

    own: int = 0
    infrastructure: int = 0
    in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """Failures that are tried again; None: any number."""

    own: int = 0
    infrastructure: int | None = INFRASTRUCTURE_LIMIT


@dataclass(frozen=True, slots=True)
class Attempt:
    """How far a failed attempt came. `advanced`: it committed a step beyond every step that an
    attempt before it had committed. `answered`: it served. `final`: its own word is that another
    try would end the same.
    """

    ran_s: float = 0.0
    advanced: bool = False
    answered: bool = False
    final: bool = False

    @property
    def lasted(self) -> bool:
        return self.ran_s >= LASTING_S


def judge(
    reason: ExitReason, failures: Failures, limits: Limits, attempt: Attempt = Attempt()
) -> tuple[Outcome, Failures]:
    """What a failed attempt ends in, and the new counts.

    Infrastructure faults have a budget of their own and never touch the user's. They count in
    a row: an attempt that lasted or got further than all before it forgets those before it, so
    that long training goes on through rare faults. Only lasting shortens the back-off again: work
    that dies at once goes on ever more slowly. A timeout is what the user asked for: it is final,
    as is a failure that the workload itself calls so.
    """
    if reason is ExitReason.TIMEOUT:
        return Outcome.FAILED, failures
    own = 0 if attempt.answered else failures.own
    infrastructure = 0 if attempt.lasted or attempt.advanced else failures.infrastructure
    in_a_row = 1 if attempt.lasted else failures.in_a_row + 1
    if reason in INFRASTRUCTURE:
        after = Failures(own, infrastructure + 1, in_a_row)
        again = limits.infrastructure is None or after.infrastructure <= limits.infrastructure
    else:
        after = Failures(own + 1, infrastructure, in_a_row)
        again = after.own <= limits.own and not attempt.final
    return (Outcome.RETRY if again else Outcome.FAILED), after


def backoff_s(num_failures: int) -> float:
    """Seconds before the next attempt, after so many failures in a row: doubling, from one second
    to five minutes.
    """
    return doubled_s(num_failures, FIRST_BACKOFF_S, MOST_BACKOFF_S)
