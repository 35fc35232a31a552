"""Streams that are cut, and servers that restart: every line once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

import pytest

from penstock.client import ApiError, AsyncClient, Client, ConnectionFailed
from tests.fakes.cloud import Cloud, Clouds, Network
from tests.integration.conftest import serving

SLEEP = {"type": "task", "name": "sleeper", "task": {"command": ["sleep", "60"]}}
LINES = [f"line {number}\u2028 \x85" for number in range(30)]


@pytest.fixture
def told(client: Client, cloud: Cloud) -> str:
    """The id of a job that has said LINES and ended."""
    job = client.jobs.submit(SLEEP)
    cloud.say("sleeper", *LINES)
    cloud.end("sleeper")
    return job.id


def test_a_stream_cut_again_and_again_gives_every_line_once(
    client: Client, told: str, network: Network
) -> None:
    network.requests.clear()
    network.cut_after = [0, 700, 10, 1500, 300]
    assert [line.text for line in client.jobs.follow_logs(told)] == LINES
    resumed = [headers.get("last-event-id") for _, _, headers in network.requests]
    assert len(resumed) == 6
    assert resumed[:2] == [None, None]
    assert len(set(resumed[2:])) == 3, "what brought no line is taken up where it was"


def test_a_stream_goes_on_over_a_restart_of_its_server(clouds: Clouds) -> None:
    network = Network()
    with clouds.one() as cloud:
        network.lead_to(cloud)
        with serving(network) as url:
            client = Client(url, cloud.admin)
            client.jobs.submit(SLEEP)
            cloud.say("sleeper", *LINES[:10])
            stream = client.jobs.follow_logs("sleeper")
            got = [next(stream).text for _ in range(10)]
        cloud.say("sleeper", *LINES[10:])
        cloud.end("sleeper")
        cloud.start_again()
        with serving(network, urlsplit(url).port or 0):
            got.extend(line.text for line in stream)
        client.close()
    assert got == LINES


def test_a_stream_may_be_taken_up_by_another_process(
    client: Client, told: str, network: Network
) -> None:
    network.cut_after = [1000]
    seen = client.jobs.follow_logs(told)
    while not (last_id := network.requests[-1][2].get("last-event-id")):
        next(seen)
    rest = [line.text for line in client.jobs.follow_logs(told, last_id=last_id)]
    assert 0 < len(rest) < len(LINES)
    assert rest == LINES[-len(rest) :]


def test_events_of_a_job_end_with_the_job(client: Client, told: str) -> None:
    events = list(client.jobs.follow_events(told))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert (events[0].type, events[-1].type) == ("job.queued", "job.succeeded")


def test_a_stream_of_nothing_is_refused_at_once(client: Client) -> None:
    with pytest.raises(ApiError) as caught:
        list(client.jobs.follow_logs("nobody"))
    assert caught.value.status == 404


def test_a_stream_that_never_began_fails_like_any_request() -> None:
    client = Client("http://127.0.0.1:1", sleep=lambda _: None)
    with client, pytest.raises(ConnectionFailed):
        list(client.jobs.follow_logs("x"))


def test_the_asynchronous_client_follows_and_resumes_as_well(
    told: str, cloud: Cloud, cloud_url: str, network: Network
) -> None:
    network.cut_after = [700, 1500]

    async def follow() -> list[str]:
        async with AsyncClient(cloud_url, cloud.admin) as one:
            return [line.text async for line in one.jobs.follow_logs(told)]

    assert asyncio.run(follow()) == LINES


def test_the_asynchronous_client_downloads_as_well(
    client: Client, cloud: Cloud, cloud_url: str, network: Network
) -> None:
    client.jobs.submit(SLEEP)
    cloud.say("sleeper", "x" * 1_000_000)
    network.busy = 1

    async def download(cuts: Sequence[int]) -> int:
        network.cut_after = [*cuts]
        async with AsyncClient(cloud_url, cloud.admin) as one:
            return sum([len(block) async for block in one.jobs.download_logs("sleeper")])

    assert asyncio.run(download([])) == 1_000_001
    with pytest.raises(ConnectionFailed):
        asyncio.run(download([500_000]))


def test_the_asynchronous_client_submits_once_over_lost_answers(
    cloud: Cloud, cloud_url: str, network: Network
) -> None:
    network.lose_answers = 1

    async def submit() -> tuple[str, list[str]]:
        async with AsyncClient(cloud_url, cloud.admin) as one:
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
