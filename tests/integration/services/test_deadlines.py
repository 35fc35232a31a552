"""Nothing that somebody else holds, and nobody who is frozen, keeps the database for long."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from control_plane import deadlines
from control_plane.errors import Unavailable
from control_plane.services.deps import Deps
from control_plane.services.health.read import readiness
from control_plane.store.database import engine, postgres, turns
from control_plane.store.database.engine import Lane
from control_plane.store.database.faults import waited_for_lock
from control_plane.store.unit_of_work import Transaction
from penstock.api.states import JobState
from tests.fakes.cluster import Cluster, a_task

on_postgres = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limits, each a fraction as long. Connections opened from now on have them."""
    short = {"statement_timeout": 0.6, "lock_timeout": 0.3, "tcp_user_timeout": 5.0}
    monkeypatch.setattr(postgres, "LIMITS", short | {"idle_in_transaction_session_timeout": 0.5})
    monkeypatch.setattr(postgres, "REPLY_S", 0.9)
    monkeypatch.setattr(postgres.Bounded, "reply_s", 0.3)
    monkeypatch.setattr(postgres, "PING_S", 0.3)
    monkeypatch.setattr(engine, "TURN_S", 0.4)
    monkeypatch.setattr(engine, "SQLITE_BUSY_S", 0.3)
    monkeypatch.setattr(turns, "SEAT_S", 0.2)


@contextmanager
def another_client(deps: Deps) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Somebody's shell: it has none of our limits."""
    url = deps.store.database.engine.url.render_as_string(hide_password=False)
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        yield connection
        connection.rollback()


@contextmanager
def refused_within(seconds: float) -> Iterator[None]:
    """What is inside ends in time, with an error that is answered as 503."""
    began = time.monotonic()
    with pytest.raises((DBAPIError, Unavailable)):
        yield
    assert time.monotonic() - began < seconds


def pid_of(session: Session) -> int:
    return int(session.scalar(text("SELECT pg_backend_pid()")) or 0)


def test_the_real_limits_fit_into_the_time_of_an_answer() -> None:
    assert deadlines.TURN_S + deadlines.LOCK_S < deadlines.ANSWER_S
    assert deadlines.PING_S + deadlines.CONNECT_S < deadlines.ANSWER_S
    assert deadlines.LANE_S + deadlines.STORAGE_S < deadlines.ANSWER_S
    assert deadlines.STATEMENT_S < deadlines.REPLY_S < deadlines.ANSWER_S
    assert deadlines.LOCK_S < deadlines.IDLE_IN_TRANSACTION_S


@on_postgres
def test_a_frozen_writer_loses_the_lock_and_what_it_had_not_committed(cluster: Cluster) -> None:
    """It wakes up, wants to commit, and is told that it did not."""
    cluster.node("a")
    with refused_within(5), cluster.deps.store.write() as tx:
        _relabel(tx, "the frozen one's")
        began = time.monotonic()
        with another_client(cluster.deps) as other:
            other.execute(f"SELECT pg_advisory_xact_lock({engine._SERIAL_LOCK})".encode())
        assert time.monotonic() - began < 1.5, "the lock was taken away"
    assert cluster.node_row("a").labels == {}
    cluster.submit(a_task("after"))
    assert cluster.state("after") is JobState.QUEUED


def _relabel(tx: Transaction, text: str) -> None:
    node = tx.nodes.named("a")
    assert node is not None
    node.labels = {"of": text}
    tx._session.flush()


@on_postgres
def test_a_lock_that_another_client_holds_is_waited_for_in_vain_but_not_long(
    cluster: Cluster,
) -> None:
    agent = cluster.node("a")
    with another_client(cluster.deps) as holder:
        holder.execute(f"SELECT pg_advisory_xact_lock({engine._SERIAL_LOCK})".encode())
        with refused_within(1):
            cluster.submit(a_task("one"))
        agent.beat()
        with cluster.deps.store.read() as tx:
            assert list(tx.jobs.in_state([JobState.QUEUED])) == []
    cluster.submit(a_task("one"))


@on_postgres
@pytest.mark.parametrize("table", ["jobs", "leases", "nodes", "events"])
def test_a_table_that_another_client_locked_stops_nothing_for_ever(
    cluster: Cluster, table: str
) -> None:
    cluster.node("a")
    with another_client(cluster.deps) as holder:
        holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        with refused_within(1):
            cluster.submit(a_task("one"))
            cluster.deps.run(lambda tx: tx._session.execute(text(f"SELECT count(*) FROM {table}")))
        with cluster.deps.store.read(Lane.HEALTH) as tx:
            tx._session.execute(text("SELECT 1"))
    cluster.submit(a_task("two"))


@on_postgres
def test_sessions_that_were_ended_cost_no_more_than_what_was_in_them(cluster: Cluster) -> None:
    ending = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND datname = current_database()"
    )
    database = cluster.deps.store.database
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(database.reading()).execute(text("SELECT 1"))
    for _ in range(3):
        with database.engine.connect() as connection:
            connection.execute(ending)
        cluster.submit(a_task(f"j{time.monotonic_ns()}"))  # pooled ones are found broken
    with refused_within(1), cluster.deps.store.write() as tx:
        with database.engine.connect() as connection:
            connection.execute(ending)
        tx._session.execute(text("SELECT 1"))
    cluster.submit(a_task("after"))


@on_postgres
def test_a_frozen_database_is_not_waited_for(cluster: Cluster) -> None:
    """The backend of an open transaction stops; its pooled neighbour stops as well."""
    database = cluster.deps.store.database
    stopped: list[int] = []
    try:
        with refused_within(3), database.reading() as session:
            stopped.append(pid_of(session))
            os.kill(stopped[0], signal.SIGSTOP)
            session.execute(text("SELECT 1"))
        with database.reading() as session:
            stopped.append(pid_of(session))
        os.kill(stopped[1], signal.SIGSTOP)
        began = time.monotonic()
        cluster.submit(a_task("one"))
        assert time.monotonic() - began < 2, "another connection was opened"
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


@on_postgres
def test_a_statement_that_runs_away_is_ended(cluster: Cluster) -> None:
    with refused_within(2), cluster.deps.store.read() as tx:
        tx._session.execute(text("SELECT pg_sleep(30)"))


def test_readers_that_hold_all_their_connections_keep_nobody_else_out(cluster: Cluster) -> None:
    agent = cluster.node("a")
    database = cluster.deps.store.database
    with ExitStack() as stack:
        for _ in range(Lane.READ.value):
            stack.enter_context(database.reading())
        with refused_within(1):
            stack.enter_context(database.reading())
        if database.is_sqlite:  # on PostgreSQL those who sit there are ended meanwhile
            cluster.submit(a_task("one"))
            agent.beat()
        with pytest.raises(Unavailable) as told:
            readiness(cluster.deps)
        assert [it.pointer for it in told.value.violations] == ["/parts/scheduler"]


def test_writers_behind_one_that_takes_long_are_refused_and_readers_are_not(
    cluster: Cluster,
) -> None:
    with cluster.deps.store.write(), ThreadPoolExecutor(4) as others:
        began = time.monotonic()
        refused = [others.submit(cluster.deps.run, lambda tx: tx.queues.all()) for _ in range(4)]
        for one in refused:
            with pytest.raises(Unavailable):
                one.result(5)
        assert time.monotonic() - began < 1.5
        with cluster.deps.store.read() as tx:
            tx.queues.all()


@on_sqlite
def test_a_program_that_writes_to_the_same_file_is_waited_for_a_little(cluster: Cluster) -> None:
    path = cluster.deps.store.database.engine.url.database
    assert path is not None
    with sqlite3.connect(path, isolation_level=None) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError) as told:
            cluster.submit(a_task("one"))
        assert waited_for_lock(told.value)
        shell.execute("ROLLBACK")
    shell.close()
    cluster.submit(a_task("one"))
