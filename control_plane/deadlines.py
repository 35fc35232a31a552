"""How long we wait for what is outside: every limit with its reason, and a deadline to count by.

A caller who writes is answered within ANSWER_S: its turn, the database's lock and one
statement fit into it. What a frozen process holds is taken from it by the database itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Self

ANSWER_S: Final = 5.0
"""A write is answered by then, if only with 503 and Retry-After."""

TURN_S: Final = 2.0
"""How long a request waits for its turn to write: some hundred commits of others."""

LOOP_TURN_S: Final = 30.0
"""The same for the loops of this process, which nobody waits for."""

WRITERS_WAITING: Final = 32
"""Requests that wait for a turn. Less than there are threads, so that one is left to refuse."""

LANE_S: Final = 1.0
"""How long a request waits for a thread of its lane. With the turn and the lock after it, the
answer is in time."""

SEAT_S: Final = 2.0
"""How long a transaction waits for one of its lane's connections."""

CONNECT_S: Final = 2
"""The least that libpq takes."""

PING_S: Final = 1.0
"""Whether a connection from the pool still answers; else another one is opened."""

LOCK_S: Final = 2.0
"""Waiting inside PostgreSQL, for the writer's lock or for a table that somebody else locked."""

STATEMENT_S: Final = 3.0
"""One statement. The longest of ours, over 10,000 jobs, takes a tenth of it."""

REPLY_S: Final = 4.0
"""What the database says to a statement. Longer than STATEMENT_S: then the server itself, or
the network, is frozen and cannot keep its own limits."""

IDLE_IN_TRANSACTION_S: Final = 3.0
"""Between two statements of a transaction we only compute, far below a second. Who is silent for
longer is frozen or cut off, and loses the transaction with the locks that it holds."""

READ_IDLE_S: Final = 60.0
"""The same of a transaction that only reads: it holds no lock, and a machine that was suspended
goes on with it."""

MIGRATION_S: Final = 600.0
"""A change of schema, and waiting for another process that is at it."""

SQLITE_BUSY_S: Final = 2.0
"""Another program writes to the same SQLite file: a shell, a backup."""

STORAGE_S: Final = 3.0
"""One call of the storage, of a mebibyte at most. With the wait for a thread before it the answer
is in time."""

REDIS_S: Final = 5.0
"""One answer of Redis: longer than the second after which a blocking read of its queue ends."""

REDIS_CONNECT_S: Final = 2.0

BEAT_S: Final = 1.0
"""How often a server with SQLite tells its parent that its event loop answers."""

FROZEN_S: Final = 6.0
"""So long without a beat and without any processor time, then the server is frozen: a leader's term
elsewhere. On a machine that is merely slow it still gets some."""

UNHEARD_S: Final = 30.0
"""So long without a beat, whatever else the process does: its loop hangs."""

START_S: Final = 120.0
"""The same before the first beat: imports on a slow disk, a change of schema."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on this process's monotonic clock, by which somebody must have answered."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        return cls(time.monotonic() + seconds)

    @property
    def left_s(self) -> float:
        """Never below zero, as waiting functions want it."""
        return max(0.0, self.at_s - time.monotonic())

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.at_s
