"""Who pays for a failed attempt, and how long the next one waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from penstock.api.states import ExitReason, Outcome

INFRASTRUCTURE: Final = frozenset(
    {ExitReason.KILLED, ExitReason.LEASE_EXPIRED, ExitReason.LOST, ExitReason.PEER_LOST}
)
TEMPORARY_FAILURE_CODE: Final = 75
"""EX_TEMPFAIL of sysexits.h: a replica says that the fault was not its own, for example a rank
that lost a peer. It is tried again within the infrastructure's budget."""
INFRASTRUCTURE_LIMIT: Final = 5
"""Attempts in a row that the infrastructure may spoil: a program that kills itself at once ends
within a minute."""
LASTING_S: Final = 600.0
"""An attempt that ran so long was no false start: faults before it are forgotten."""
FIRST_BACKOFF_S: Final = 1.0
MOST_BACKOFF_S: Final = 300.0
MOST_DOUBLINGS: Final = 20


@dataclass(frozen=True, slots=True)
class Failures:
    """Attempts that failed so far, by who is to blame."""

    own: int = 0
    infrastructure: int = 0


def judge(
    reason: ExitReason, failures: Failures, own_limit: int | None, *, got_somewhere: bool = False
) -> tuple[Outcome, Failures]:
    """What a failed attempt ends in, and the new counts. Without a limit it is tried again as
    long as it is wanted.

    Infrastructure faults have a budget of their own and never touch the user's. They count in
    a row: an attempt that got somewhere forgets those before it, so that long training goes on
    through rare faults. A timeout is what the user asked for: it is final.
    """
    if reason is ExitReason.TIMEOUT:
        return Outcome.FAILED, failures
    if got_somewhere:
        failures = Failures(failures.own, 0)
    if reason in INFRASTRUCTURE:
        after = Failures(failures.own, failures.infrastructure + 1)
        again = own_limit is None or after.infrastructure <= INFRASTRUCTURE_LIMIT
    else:
        after = Failures(failures.own + 1, failures.infrastructure)
        again = own_limit is None or after.own <= own_limit
    return (Outcome.RETRY if again else Outcome.FAILED), after


def got_somewhere(ran_s: float, committed: bool) -> bool:
    """Whether an attempt ran long enough, or committed a checkpoint."""
    return committed or ran_s >= LASTING_S


def backoff_s(failures: Failures) -> float:
    """Seconds before the next attempt: doubling, from one second to five minutes."""
    doublings = min(max(0, failures.own + failures.infrastructure - 1), MOST_DOUBLINGS)
    return min(MOST_BACKOFF_S, FIRST_BACKOFF_S * 2.0**doublings)
