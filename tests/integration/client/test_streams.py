"""Streams that are cut, and servers that restart: every line once, in order."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from penstock.api.states import JobState
from penstock.client import ApiError, AsyncClient, Client, ConnectionFailed
from tests.fakes.api_server import FakeServer
from tests.fakes.api_state import TOKEN

SLEEP = {"type": "task", "name": "sleeper", "task": {"command": ["sleep", "60"]}}
LINES = [f"line {number}\u2028 \x85" for number in range(30)]


def a_job_with_lines(server: FakeServer, client: Client, lines: list[str]) -> str:
    job = client.jobs.submit(SLEEP)
    for line in lines:
        server.state.say(job, line)
    return job.id


def end(server: FakeServer, job_id: str) -> None:
    server.state.end(server.state.jobs[job_id], JobState.SUCCEEDED, 0)


def test_a_stream_cut_again_and_again_gives_every_line_once(
    client: Client, server: FakeServer
) -> None:
    job_id = a_job_with_lines(server, client, LINES)
    end(server, job_id)
    server.state.faults.cut_streams_after = [0, 3, 0, 7, 1]
    assert [line.text for line in client.jobs.follow_logs(job_id)] == LINES
    resumed = [
        headers.get("Last-Event-ID") for _, path, headers in server.state.requests if "logs" in path
    ]
    assert resumed == [None, None, "3", "3", "10", "11"]


def test_a_stream_goes_on_over_a_restart_of_its_server(client: Client, server: FakeServer) -> None:
    job_id = a_job_with_lines(server, client, LINES[:10])
    server.state.faults.cut_streams_after = [10]
    got: list[str] = []

    def restart() -> None:
        while len(got) < 10:
            time.sleep(0.005)
        server.stop()
        job = server.state.jobs[job_id]
        for line in LINES[10:]:
            server.state.say(job, line)
        end(server, job_id)
        time.sleep(0.3)
        server.start()

    restarting = threading.Thread(target=restart)
    restarting.start()
    got.extend(line.text for line in client.jobs.follow_logs(job_id))
    restarting.join()
    assert got == LINES


def test_a_stream_may_be_taken_up_by_another_process(client: Client, server: FakeServer) -> None:
    job_id = a_job_with_lines(server, client, LINES)
    end(server, job_id)
    assert [line.text for line in client.jobs.follow_logs(job_id, last_id="25")] == LINES[25:]


def test_events_of_a_job_end_with_the_job(client: Client, server: FakeServer) -> None:
    job_id = a_job_with_lines(server, client, [])
    end(server, job_id)
    assert [event.seq for event in client.jobs.follow_events(job_id)] == [1, 2, 3, 4]


def test_a_stream_of_nothing_is_refused_at_once(client: Client) -> None:
    with pytest.raises(ApiError) as caught:
        list(client.jobs.follow_logs("nobody"))
    assert caught.value.status == 404


def test_a_stream_that_never_began_fails_like_any_request(server: FakeServer) -> None:
    server.stop()
    client = Client(server.url, TOKEN, sleep=lambda _: None)
    with client, pytest.raises(ConnectionFailed):
        list(client.jobs.follow_logs("x"))


def test_the_asynchronous_client_follows_and_resumes_as_well(
    client: Client, server: FakeServer
) -> None:
    job_id = a_job_with_lines(server, client, LINES)
    end(server, job_id)
    server.state.faults.cut_streams_after = [5, 5]

    async def follow() -> list[str]:
        async with AsyncClient(server.url, TOKEN) as one:
            return [line.text async for line in one.jobs.follow_logs(job_id)]

    assert asyncio.run(follow()) == LINES


def test_the_asynchronous_client_downloads_as_well(client: Client, server: FakeServer) -> None:
    job_id = a_job_with_lines(server, client, ["x" * 1_000_000])
    server.state.faults.busy = 1

    async def download(room: int | None) -> int:
        server.state.faults.cut_texts_after = [] if room is None else [room]
        async with AsyncClient(server.url, TOKEN) as one:
            return sum([len(block) async for block in one.jobs.download_logs(job_id)])

    assert asyncio.run(download(None)) == 1_000_001
    with pytest.raises(ConnectionFailed):
        asyncio.run(download(500_000))


def test_the_asynchronous_client_submits_once_over_lost_answers(server: FakeServer) -> None:
    server.state.faults.lose_answers = 1

    async def submit() -> tuple[str, list[str]]:
        async with AsyncClient(server.url, TOKEN) as one:
            job = await one.jobs.submit({"type": "task", "task": {"command": ["echo", "x"]}})
            ended = await one.jobs.wait(job.id)
            return ended.state, [it.id async for it in one.jobs.list()]

    state, ids = asyncio.run(submit())
    assert (state, len(ids)) == ("succeeded", 1)


def test_the_asynchronous_client_has_every_method_of_the_synchronous_one() -> None:
    def methods(one: object) -> set[str]:
        return {name for name in dir(one) if not name.startswith("_")}

    async def compare() -> None:
        with Client("http://127.0.0.1:1") as sync:
            async with AsyncClient("http://127.0.0.1:1") as twin:
                assert methods(sync) == methods(twin)
                nouns = ("jobs", "nodes", "chips", "queues", "endpoints", "tokens", "projects")
                for noun in nouns:
                    assert methods(getattr(sync, noun)) == methods(getattr(twin, noun))

    asyncio.run(compare())
