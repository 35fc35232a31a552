"""One commit for all that wait: whoever has the turn does the work of those behind as well, each in
a savepoint of its own. Nobody is answered before the commit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from control_plane.deadlines import Deadline
from control_plane.store.database.turns import Waiter, WriterQueue

T = TypeVar("T")

MOST_TOGETHER: Final = 64
TOGETHER_S: Final = 0.1
"""Nobody joins once others have joined for so long: heartbeats wait for its end."""


@dataclass(eq=False, slots=True)
class Work(Generic[T]):
    """What somebody wants to have written, and what came of it."""

    do: Callable[[Session], T]
    value: T | None = None
    error: BaseException | None = None

    def alone(self, connection: Connection) -> None:
        """As the first of its transaction, which ends with it where it raises."""
        with Session(
            connection, expire_on_commit=False, join_transaction_mode="rollback_only"
        ) as session:
            self.value = self.do(session)
            session.commit()

    def in_savepoint(self, connection: Connection) -> None:
        """What it wrote is gone where it raised. Raises only what ends all of the transaction."""
        with (
            self,
            Session(
                connection, expire_on_commit=False, join_transaction_mode="create_savepoint"
            ) as session,
        ):
            self.value = self.do(session)
            session.commit()
        if self.error is not None and connection.invalidated:
            raise self.error

    def __enter__(self) -> None:
        """Within, what it raises is kept for whoever asked."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.error = error
        return isinstance(error, Exception)

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def together(
    connection: Connection, first: Work[T], queue: WriterQueue, lock: Callable[[Connection], None]
) -> None:
    """Does the first work and that of others who wait by then, and commits. An error of the
    commit, or of the connection, is everybody's, and raised.
    """
    others = list[Waiter]()
    try:
        with connection.begin():
            lock(connection)
            first.alone(connection)
            deadline = Deadline.after(TOGETHER_S)
            while len(others) < MOST_TOGETHER and not deadline.is_over and (one := queue.take()):
                others.append(one)
                one.asked.in_savepoint(connection)
    except BaseException as error:
        for one in others:
            one.asked.error = one.asked.error or error
        raise
    finally:
        for one in others:
            one.called.set()
