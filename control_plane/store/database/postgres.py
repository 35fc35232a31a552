"""Connections to PostgreSQL that end by themselves: of a frozen client the server takes the locks
away, of a frozen server the client takes leave.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow
from pydantic_core import from_json
from sqlalchemy import Engine, create_engine, event, make_url

from control_plane.deadlines import (
    CONNECT_S,
    IDLE_IN_TRANSACTION_S,
    LOCK_S,
    PING_S,
    REPLY_S,
    SEAT_S,
    STATEMENT_S,
    Deadline,
)
from penstock.json_types import Json

_AnswerT = TypeVar("_AnswerT")

NETWORK: Final[dict[str, int]] = {
    "connect_timeout": CONNECT_S, "keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2,
    "keepalives_count": 2, "tcp_user_timeout": 5000,
}  # fmt: skip
"""libpq's, in seconds, the last in milliseconds: a host that went away is noticed in 9 s at most.
What the URL says goes before."""

KEPT_OPEN: Final = 5
_IDLE: Final = "idle_in_transaction_session_timeout"
LIMITS: Final[dict[str, float]] = {
    "statement_timeout": STATEMENT_S, "lock_timeout": LOCK_S,
    _IDLE: IDLE_IN_TRANSACTION_S, "tcp_user_timeout": 5.0,
}  # fmt: skip
"""The server's, by session. Set by a statement: a pooler in between may refuse start options."""


class Bounded(psycopg.Connection[TupleRow]):
    """Waits for no answer longer than `reply_s`, then counts as broken. The server's own limits
    are shorter; but a server that is frozen keeps none.
    """

    reply_s: float = PING_S

    def wait(self, gen: PQGen[_AnswerT], *args: Any, **options: Any) -> _AnswerT:
        try:
            return super().wait(_until(Deadline.after(self.reply_s), gen), *args, **options)
        except TimeoutError as error:
            self.pgconn.finish()
            message = f"the database has not answered for {self.reply_s:g} s"
            raise psycopg.OperationalError(message) from error


def postgres_engine(url: str, num: int, idle_s: float | None = None) -> Engine:
    """An engine of `num` connections, which are pinged, with less patience, before they are used.
    `idle_s`: for how long its transactions may say nothing, where that is not the usual limit.
    """
    limits = LIMITS if idle_s is None else {**LIMITS, _IDLE: idle_s}
    given = make_url(url).query
    engine = create_engine(
        url,
        json_deserializer=from_json,
        pool_pre_ping=True,
        pool_size=KEPT_OPEN,
        max_overflow=num - KEPT_OPEN,
        pool_timeout=SEAT_S,
        connect_args={k: v for k, v in NETWORK.items() if k not in given},
    )
    event.listen(engine, "do_connect", partial(_connect, limits))
    event.listen(engine, "checkout", _on_checkout)
    event.listen(engine, "checkin", _on_checkin)
    return engine


def lift_limits(connection: psycopg.Connection[TupleRow], seconds: float) -> None:
    """For one transaction that may take so long: a change of schema."""
    assert isinstance(connection, Bounded)
    connection.reply_s = seconds
    _set_limits(connection, dict.fromkeys(LIMITS, seconds), is_local=True)


def _connect(
    limits: dict[str, float], _dialect: object, _record: object, args: list[Any], options: Json
) -> Bounded:
    connection = Bounded.connect(*args, **options, autocommit=True)
    connection.reply_s = REPLY_S
    _set_limits(connection, limits, is_local=False)
    connection.autocommit = False
    return connection


def _set_limits(
    connection: psycopg.Connection[TupleRow], limits: dict[str, float], *, is_local: bool
) -> None:
    names = ", ".join(f"set_config('{name}', %s, {str(is_local).lower()})" for name in limits)
    connection.execute(
        f"SELECT {names}".encode(), [str(round(limit * 1000)) for limit in limits.values()]
    )


def _on_checkout(connection: Bounded, _record: object, _proxy: object) -> None:
    """The ping is over."""
    connection.reply_s = REPLY_S


def _on_checkin(connection: Bounded | None, _record: object) -> None:
    if connection is not None:  # None: it was found broken
        connection.reply_s = PING_S


def _until(deadline: Deadline, gen: PQGen[_AnswerT]) -> Generator[Any, Any, _AnswerT]:
    """The same dialogue with the socket, broken off at the deadline: psycopg looks by itself every
    tenth of a second.
    """
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and deadline.is_over:
                raise TimeoutError
            wanted = gen.send(ready)
    except StopIteration as end:
        answer: _AnswerT = end.value
        return answer
