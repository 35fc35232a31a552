"""A recorded cloud of the release before, with 1,000 ended jobs and some running, is migrated."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, inspect
from starlette.testclient import TestClient

from agents.node import identity
from agents.runtimes.process.folders import ReplicaFolders
from control_plane.clock import ManualClock
from control_plane.services.deps import Deps
from control_plane.store.database.engine import Database, open_database
from control_plane.store.database.migrate import migrate, read_schema
from tests.integration.services.invariants import miscounted
from tests.integration.upgrade.expansion import look
from tests.integration.upgrade.recorded import Recorded, read_rows, unpacked

pytestmark = pytest.mark.integration

CHANGING = {"etag", "waited_s", "oldest_wait_s", "last_used_at", "last_heartbeat_at", "sample"}
"""Fields that say something about the moment of the answer."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return unpacked(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def old(empty: Database, recorded: Recorded, tmp_path: Path) -> Database:
    """The recorded database, not migrated yet."""
    recorded.load(empty, tmp_path)
    return empty


@pytest.fixture
def database_url(empty_url: str, recorded: Recorded, tmp_path: Path) -> str:
    """The recorded database, migrated, with its storage where `deps` looks for it."""
    database = open_database(empty_url)
    recorded.load(database, tmp_path)
    migrate(database)
    database.dispose()
    shutil.copytree(recorded.home / "storage", tmp_path / "storage")
    return empty_url


@pytest.fixture
def clock(clock: ManualClock, recorded: Recorded) -> ManualClock:
    clock.advance((recorded.moment() - clock.now()).total_seconds())
    return clock


@pytest.fixture
def admin_secret(deps: Deps, recorded: Recorded) -> str:
    return recorded.admin


def test_no_row_is_lost_or_changed_and_the_schema_is_that_of_a_fresh_database(
    old: Database, recorded: Recorded, tmp_path: Path
) -> None:
    before = recorded.rows
    migrate(old)
    migrate(old)
    assert read_rows(old.engine, recorded.tables) == before
    assert len(before["jobs"]) > 1000
    assert {"checkpoints", "leases", "usage", "token_usage", "deliveries"} <= {
        name for name, rows in before.items() if rows
    }
    if old.is_sqlite:
        fresh = open_database(f"sqlite:///{tmp_path / 'fresh.db'}")
        migrate(fresh)
        assert look(old.engine) == look(fresh.engine)
        fresh.dispose()


def test_a_migration_that_is_cut_off_changes_nothing_and_is_run_again(
    old: Database, recorded: Recorded
) -> None:
    def die(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "INSERT INTO schema_revisions" in statement:
            raise KeyboardInterrupt

    tables = inspect(old.engine).get_table_names()
    event.listen(old.engine, "before_cursor_execute", die)
    with pytest.raises(KeyboardInterrupt):
        migrate(old)
    event.remove(old.engine, "before_cursor_execute", die)
    assert inspect(old.engine).get_table_names() == tables
    migrate(old)
    assert read_schema(old).obstacle is None
    assert read_rows(old.engine, recorded.tables) == recorded.rows


def test_today_everything_is_answered_as_the_release_answered_it(
    api_client: TestClient, recorded: Recorded
) -> None:
    for path, document in recorded.answers["documents"].items():
        answer = api_client.get(f"/api/v1{path}")
        assert answer.status_code == 200, path
        assert _kept(document, answer.json()) == [], path


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_every_job_is_listed_with_its_state_attempt_and_exit_code(
    api_client: TestClient, recorded: Recorded
) -> None:
    found: list[dict[str, Any]] = []
    asked: dict[str, Any] = {"sort": "created_at", "limit": 200}
    while asked.get("cursor", "") is not None:
        page = api_client.get("/api/v1/jobs", params=asked).json()
        found += page["items"]
        asked["cursor"] = page["next"]
    fields = ("id", "name", "state", "reason", "attempt", "exit_code")
    assert [[job[it] for it in fields] for job in found] == recorded.answers["jobs"]


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_the_logs_are_read_from_the_storage_of_the_release(
    api_client: TestClient, recorded: Recorded
) -> None:
    for path, text in recorded.answers["logs"].items():
        assert api_client.get(f"/api/v1{path}").text == text


def test_todays_agent_reads_the_state_folders_of_the_release(recorded: Recorded) -> None:
    found = 0
    for node in ("first", "other"):
        kept = identity.load(recorded.home / node)
        assert kept is not None
        assert kept.node_id.startswith("node_")
        folders = ReplicaFolders(recorded.home / node / "replicas")
        for replica_id in folders.ids():
            replica = folders.kept(replica_id)
            assert replica is not None
            assert replica.assignment.replica_id == replica_id
            assert folders.started(replica_id) is not None
            found += 1
    assert found >= 4


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_whatever_the_agent_of_the_release_sends_is_accepted_as_it_was_then(
    api_client: TestClient, recorded: Recorded, tmp_path: Path
) -> None:
    """All of it may come late and again, so it is sent once more to the migrated cloud."""
    join = api_client.post("/api/v1/join-tokens", json={}).json()["token"]
    live = {it["id"]: it for it in recorded.rows["replicas"] if it["state"] == "running"}
    trainer = next(it for it in live.values() if it["job_id"] == _job(recorded, "learn-on"))
    told = set()
    for one in recorded.transcript:
        kind = one.path.partition("?")[0].rpartition("/")[2]
        sent = one.sent
        if kind == "enrol":
            sent = {**sent, "join_token": join, "name": "newcomer"}
        elif kind == "checkpoints":  # of an attempt that has ended they are refused, then as now
            uri = f"{tmp_path.as_uri()}/storage/jobs/{trainer['job_id']}/checkpoints/x"
            sent = {**sent, "replica_id": trainer["id"], "uri": uri}
        path = re.sub(r"wait_s=[\d.]+", "wait_s=0", one.path)
        headers = {"Authorization": "" if kind == "enrol" else _credential(recorded)}
        answer = api_client.request(one.method, path, json=sent, headers=headers)
        assert answer.status_code == one.status == 200, (one, answer.text)
        assert one.reply.keys() <= answer.json().keys()
        refused = {it["replica_id"]: it["code"] for it in answer.json().get("refused", ())}
        assert set(refused.values()) <= {"stale_epoch"}
        assert not refused.keys() & live.keys()
        told.add(kind)
    assert told == {"enrol", "assignments", "heartbeat", "reports", "logs", "checkpoints"}


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_the_heartbeat_of_the_release_renews_the_leases_of_what_ran(
    api_client: TestClient, recorded: Recorded
) -> None:
    beat = next(it for it in reversed(recorded.transcript) if it.path.endswith("/heartbeat"))
    headers = {"Authorization": _credential(recorded)}
    reply = api_client.post(beat.path, json=beat.sent, headers=headers).json()
    held = {it["replica_id"] for it in beat.sent["replicas"]}
    assert {it["replica_id"] for it in reply["leases"]} == held
    assert len(held) >= 2
    assert reply["stop"] == []


def _credential(recorded: Recorded) -> str:
    return f"Bearer {(recorded.home / 'first' / 'credential').read_text('utf-8').strip()}"


def _job(recorded: Recorded, name: str) -> str:
    found: str = next(it["id"] for it in recorded.rows["jobs"] if it["name"] == name)
    return found


def _kept(then: Any, now: Any, where: str = "") -> list[str]:
    """What the release said that is not said today; more may be said."""
    if isinstance(then, dict) and isinstance(now, dict):
        changing = CHANGING | ({"progress"} if then.get("state") == "running" else set())
        return [
            line
            for key, value in then.items()
            if key not in changing
            for line in _kept(value, now.get(key), f"{where}/{key}")
        ]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = enumerate(zip(then, now, strict=True))
        return [line for n, pair in pairs for line in _kept(*pair, f"{where}/{n}")]
    return [] if then == now else [f"{where}: {then!r}, now {now!r}"]


def test_what_was_there_is_counted(deps: Deps) -> None:
    with deps.store.read() as tx:
        counts = tx.counts.all()
        assert miscounted(tx) == []
    assert all(counts[kind] for kind in ("job", "node", "chip", "held"))
