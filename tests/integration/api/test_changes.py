"""The change feed over a real server: what is told, to whom, and where it goes on."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from control_plane.hints.hub import Hub
from control_plane.hints.topics import EVENTS
from control_plane.services.changes import feed as feed_file
from control_plane.services.changes.feed import Feed, Follower
from control_plane.services.deps import Caller, Deps
from penstock.api.ids import TokenId
from penstock.api.states import Role
from tests.integration.api.followers import Sent, parsed
from tests.integration.api.world import TASK, chip, headers, join, new_project, place, submit

pytestmark = pytest.mark.integration

ADMIN = Caller(TokenId("token"), "admin", Role.ADMIN, None, None)


@contextmanager
def following(url: str, secret: str, last_id: str | None = None) -> Iterator[Iterator[Sent]]:
    sent = {**headers(secret), "Accept": "text/event-stream"}
    sent |= {} if last_id is None else {"Last-Event-ID": last_id}
    with httpx.stream("GET", f"{url}/api/v1/changes", headers=sent, timeout=20) as answer:
        assert answer.status_code == 200, answer.read()
        yield parsed(answer.iter_lines())


def _until(messages: Iterator[Sent], object_id: str) -> list[Sent]:
    """Those up to the first that tells of the object."""
    seen = []
    for message in messages:
        seen.append(message)
        if object_id in _ids([message]):
            return seen
    raise AssertionError(f"the stream ended before {object_id}: {seen}")


def _ids(messages: list[Sent]) -> set[str]:
    return {it["id"] for message in messages for it in message.data["changes"]}


def test_it_begins_now_with_the_counts_and_tells_what_changes(
    api_client: TestClient, live_api: str, admin_secret: str, deps: Deps
) -> None:
    old = submit(api_client, name="old")
    with following(live_api, admin_secret) as messages:
        first = next(messages)
        assert (first.data["reset"], first.data["changes"]) == (True, [])
        assert first.data["counts"]["jobs"] == {"default": {"queued": 1}}
        new = submit(api_client, name="new")["id"]
        (told,) = _until(messages, new)
        assert told.data["changes"][-1] | {"project": ""} == {
            "noun": "job",
            "id": new,
            "version": 1,
            "project": "",
        }
        assert told.data["counts"]["jobs"] == {"default": {"queued": 2}}
        assert old["id"] not in _ids([told])
        agent = join(api_client, "a", chip("c0"))
        (told, *_) = _until(messages, agent.node_id)
        place(deps, new, agent, api_client.get("/api/v1/chips").json()["items"][0]["id"])
        seen = _until(messages, new)
        assert seen[-1].data["counts"]["chips"][0]["held"] == 1.0
        assert agent.node_id in _ids(seen), "what is free there changed"


def test_who_comes_back_misses_nothing_and_is_told_nothing_twice(
    api_client: TestClient, live_api: str, admin_secret: str
) -> None:
    with following(live_api, admin_secret) as messages:
        begun = next(messages)
        seen = submit(api_client, name="seen")["id"]
        last = _until(messages, seen)[-1]
    missed = [submit(api_client, name=f"missed-{number}")["id"] for number in range(3)]
    with following(live_api, admin_secret, last.id) as messages:
        again = _until(messages, missed[-1])
    assert not again[0].data["reset"]
    assert _ids(again) == set(missed)
    with following(live_api, admin_secret, begun.id) as messages:
        assert _ids(_until(messages, missed[-1])) >= {seen, *missed}


@pytest.mark.parametrize("last_id", ["", "7", "other:0-3", "x:y-z", "::-"])
def test_an_id_of_another_database_says_list_anew(
    live_api: str, admin_secret: str, last_id: str
) -> None:
    with following(live_api, admin_secret, last_id) as messages:
        assert next(messages).data["reset"]


def test_a_tenant_learns_of_its_own_objects_and_of_the_pool_only(
    api_client: TestClient, live_api: str
) -> None:
    secret = new_project(api_client, "mine")
    with following(live_api, secret) as messages:
        assert next(messages).data["counts"]["jobs"] == {}
        theirs = submit(api_client, name="theirs")["id"]
        token = api_client.post(
            "/api/v1/tokens", json={"name": "other", "role": "viewer", "project": "mine"}
        ).json()["id"]
        node = join(api_client, "a", chip("c0")).node_id
        mine = api_client.post("/api/v1/jobs", json=TASK, headers=headers(secret)).json()["id"]
        seen = _until(messages, mine)
    assert {node, mine} <= _ids(seen)
    assert not {theirs, token} & _ids(seen)
    assert seen[-1].data["counts"]["jobs"] == {"default": {"queued": 1}}


def test_the_stream_of_a_revoked_token_ends(
    api_client: TestClient, live_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.api.sse.RECHECK_S", 0.2)
    secret = new_project(api_client, "mine")
    with following(live_api, secret) as messages:
        next(messages)
        assert api_client.delete("/api/v1/tokens/member-mine").status_code == 204
        assert list(messages) == []


def test_a_heartbeat_without_news_changes_nothing(api_client: TestClient, deps: Deps) -> None:
    agent = join(api_client, "a", chip("c0"))
    agent.beat()
    with deps.store.read() as tx:
        before = tx.changes.head()
    agent.beat()
    with deps.store.read() as tx:
        assert tx.changes.head() == before


def test_a_transaction_notes_an_object_once(api_client: TestClient, deps: Deps) -> None:
    job = submit(api_client, name="once")["id"]

    def move(times: int) -> None:
        with deps.store.write() as tx:
            row = tx.jobs.get(job)
            assert row is not None
            for number in range(times):
                row.labels = {"number": str(number)}
                tx._session.flush()

    feed, follower = Feed(deps), Follower(ADMIN)
    feed.news(follower)
    move(3)
    feed._read_at = 0.0
    told = feed.news(follower)
    assert told is not None
    assert [(it.id, it.version) for it in told.changes] == [(job, 4)]
    with deps.store.read() as tx:
        assert [it.object_id for it in tx.changes.after(feed._head, 9)] == []


def test_who_missed_too_much_lists_anew(
    api_client: TestClient, deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_file, "READ_S", 0.0)
    monkeypatch.setattr(feed_file, "MOST", 3)
    feed, slow, late = Feed(deps), Follower(ADMIN), Follower(ADMIN)
    feed.news(slow)
    feed.news(late)
    told = Follower(ADMIN)
    feed.news(told)
    for number in range(3):
        submit(api_client, name=f"job-{number}")
        assert (feed.news(told) or pytest.fail("nothing was told")).changes
    assert not (feed.news(late) or pytest.fail("nothing was told")).reset
    submit(api_client, name="job-3")
    feed.news(told)
    assert len(feed._kept) == 3, "memory is bounded"
    assert (feed.news(slow) or pytest.fail("nothing was told")).reset


def test_what_commits_late_is_told_although_others_were_faster(
    deps: Deps, api_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transactions that are not serial commit in another order than they count."""
    if deps.store.database.is_sqlite:
        pytest.skip("SQLite has one writer")
    monkeypatch.setattr(feed_file, "READ_S", 0.0)
    jobs = [submit(api_client, name=f"job-{number}")["id"] for number in range(2)]
    change = text("UPDATE jobs SET version = version + 1 WHERE id = :id")
    feed, other, follower = Feed(deps), Feed(deps), Follower(ADMIN)
    feed.news(follower)
    with deps.store.database.engine.connect() as slow:
        slow.execute(change, {"id": jobs[0]})
        with deps.store.database.engine.begin() as fast:
            fast.execute(change, {"id": jobs[1]})
        assert feed.news(follower) is None, "an earlier one may still commit"
        slow.commit()
    moved = Follower.resumed(ADMIN, follower.cursor)
    for source, stands in ((feed, follower), (other, moved)):
        told = source.news(stands)
        assert told is not None
        assert [it.id for it in told.changes] == jobs


def test_many_commits_are_told_in_ten_messages_a_second_at_most(
    api_client: TestClient, live_api: str, admin_secret: str, deps: Deps, hub: Hub
) -> None:
    jobs = [submit(api_client, name=f"job-{number}")["id"] for number in range(20)]
    stopping, commits = threading.Event(), 0

    def write() -> None:
        nonlocal commits
        while not stopping.is_set():
            with deps.store.write() as tx:
                row = tx.jobs.get(jobs[commits % len(jobs)])
                assert row is not None
                row.labels = {"number": str(commits)}
            hub.publish(EVENTS)
            commits += 1

    writer = threading.Thread(target=write)
    with following(live_api, admin_secret) as messages:
        next(messages)
        began_s = time.monotonic()
        writer.start()
        told = list(itertools.islice(messages, 15))
        took_s = time.monotonic() - began_s
        stopping.set()
    writer.join(20)
    print(f"{commits / took_s:,.0f} commits/s, {len(told) / took_s:.1f} messages/s")
    assert len(told) <= 10 * took_s + 1
    assert _ids(told) <= set(jobs)
    assert all(len(_ids([it])) == len(it.data["changes"]) for it in told), "each once in a message"
