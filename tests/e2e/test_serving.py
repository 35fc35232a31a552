"""One endpoint over two chip types behind the gateway: a replica dies, a node is drained.

The model has random weights; what it says does not matter, that every token arrives does.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from penstock.api.endpoints import Endpoint, EndpointReplica
from penstock.api.specs import ModelShape
from tests.e2e import processes
from tests.e2e.processes import eventually
from tests.e2e.rig import Cloud, a_cloud
from tests.integration.serving.model_folders import write_huggingface
from workloads.models.config import config_of_shape

pytestmark = pytest.mark.slow

FIRST, OTHER = "emulated-a100", "emulated-mi300x"
SHAPE = ModelShape(
    num_layers=4,
    hidden_size=128,
    num_heads=4,
    num_kv_heads=2,
    intermediate_size=256,
    vocab_size=320,
    max_seq_len=1024,
)
STREAM_TOKENS = 200
PROMPT = "def greet(name: str) -> str:"


@dataclass(slots=True)
class Stream:
    """A stream as its reader sees it."""

    begun: threading.Event = field(default_factory=threading.Event)
    headers: dict[str, str] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=dict)
    finish_reason: str | None = None
    is_whole: bool = False


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with a_cloud() as made:
        made.add_node("first", f"{FIRST}:1", "--no-cpu-chip")
        made.add_node("other", f"{OTHER}:1", "--no-cpu-chip")
        folder = made.home / "model"
        write_huggingface(folder, config_of_shape(SHAPE))
        made.submit(
            "serve",
            name="chat",
            serve={"model": str(folder), "replicas": 2},
            resources={"chip": [FIRST, OTHER], "mix": True},
        )
        await_endpoint(made, "ready")
        made.add_node("spare", f"{OTHER}:1", "--no-cpu-chip")
        yield made


def await_endpoint(cloud: Cloud, state: str, within_s: float = 90) -> Endpoint:
    def looked() -> Endpoint | None:
        endpoint = cloud.client.endpoints.get("chat")
        return endpoint if endpoint.state == state else None

    return eventually(looked, f"the endpoint is {state}", within_s)


def ready(endpoint: Endpoint) -> dict[str, EndpointReplica]:
    """Chip type to its ready replica."""
    return {it.chip_type: it for it in endpoint.replicas if it.ready}


def ask(cloud: Cloud, at: str = "", token: str | None = None, **body: Any) -> httpx.Response:
    document = {"model": "chat", "prompt": PROMPT, "max_tokens": 8, "ignore_eos": True, **body}
    headers = {"Authorization": f"Bearer {token if token is not None else cloud.token}"}
    url = f"{cloud.url}{at and f'/at/{at}'}/v1/completions"
    return httpx.post(url, json=document, headers=headers, timeout=60)


@contextmanager
def streaming(cloud: Cloud, at: str) -> Iterator[tuple[Stream, Future[None]]]:
    """A long stream, running once the block begins."""
    seen = Stream()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_read, cloud, at, seen)
        assert seen.begun.wait(30), "no first token"
        yield seen, reading


def _read(cloud: Cloud, at: str, seen: Stream) -> None:
    document = {
        "model": "chat", "prompt": PROMPT, "max_tokens": STREAM_TOKENS, "ignore_eos": True,
        "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {cloud.token}"}
    url = f"{cloud.url}/at/{at}/v1/completions"
    with httpx.stream("POST", url, json=document, headers=headers, timeout=60) as reply:
        seen.headers = dict(reply.headers)
        for line in reply.iter_lines():
            if line == "data: [DONE]":
                seen.is_whole = True
            elif line.startswith("data: "):
                event = json.loads(line[6:])
                seen.usage = event.get("usage") or seen.usage
                for choice in event.get("choices", ()):
                    seen.finish_reason = choice["finish_reason"] or seen.finish_reason
                seen.begun.set()


def assert_whole(seen: Stream, reading: Future[None]) -> None:
    reading.result(60)
    assert seen.is_whole
    assert seen.finish_reason == "length"
    assert seen.usage["completion_tokens"] == STREAM_TOKENS


def test_both_chip_types_answer_behind_one_address_and_each_at_its_own(cloud: Cloud) -> None:
    replicas = ready(await_endpoint(cloud, "ready"))
    assert sorted(replicas) == sorted([FIRST, OTHER])
    for chip_type in (FIRST, OTHER):
        reply = ask(cloud, at=chip_type)
        assert reply.status_code == 200, reply.text
        assert reply.headers["x-penstock-chip-type"] == chip_type
        assert reply.headers["x-penstock-replica"] == replicas[chip_type].id
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: ask(cloud, max_tokens=64), range(8)))
    assert {it.headers["x-penstock-chip-type"] for it in replies} == {FIRST, OTHER}


def test_a_chip_type_that_can_have_no_replica_is_refused_with_a_reason(cloud: Cloud) -> None:
    reply = ask(cloud, at="emulated-910b")
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (404, "chip_type_not_served")
    assert error["message"].endswith(f"its job asks for {FIRST} or {OTHER}.")


def test_a_token_is_needed(cloud: Cloud) -> None:
    assert ask(cloud, token="pst_wrong").status_code == 401
    assert httpx.post(f"{cloud.url}/v1/completions", json={}).status_code == 401
    assert httpx.get(f"{cloud.url}/v1/models").status_code == 401
    headers = {"Authorization": f"Bearer {cloud.token}"}
    models = httpx.get(f"{cloud.url}/v1/models", headers=headers).json()
    assert [it["id"] for it in models["data"]] == ["chat"]


def test_tokens_are_metered_whole_and_streamed(cloud: Cloud) -> None:
    before = cloud.client.endpoints.get("chat")
    usage = ask(cloud, max_tokens=11).json()["usage"]
    assert usage["completion_tokens"] == 11
    with streaming(cloud, OTHER) as (seen, reading):
        assert_whole(seen, reading)
    wanted = (
        before.prompt_tokens + usage["prompt_tokens"] + seen.usage["prompt_tokens"],
        before.completion_tokens + 11 + STREAM_TOKENS,
    )

    def metered() -> bool:
        now = cloud.client.endpoints.get("chat")
        return (now.prompt_tokens, now.completion_tokens) == wanted

    eventually(metered, f"{wanted} tokens are counted", 10)


def test_a_killed_replica_takes_no_stream_but_its_own_with_it_and_is_replaced(cloud: Cloud) -> None:
    victim = ready(await_endpoint(cloud, "ready"))[FIRST]
    with streaming(cloud, OTHER) as (seen, reading), ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, cloud, max_tokens=48) for _ in range(12)]
        processes.of_replica(victim.id)[0].send_signal(signal.SIGKILL)
        assert {one.result(60).status_code for one in asked} == {200}, "tried on the other one"
        degraded = await_endpoint(cloud, "degraded", 10)
        assert "1 of 2" in degraded.message
        assert list(ready(degraded)) == [OTHER]
        assert ask(cloud).headers["x-penstock-chip-type"] == OTHER
        assert_whole(seen, reading)
    again = ready(await_endpoint(cloud, "ready"))
    assert sorted(again) == sorted([FIRST, OTHER])
    assert again[FIRST].id != victim.id
    assert ask(cloud, at=FIRST).status_code == 200
    assert cloud.client.jobs.get("chat").state == "running"


def test_draining_a_node_drops_no_stream_and_moves_its_replica(cloud: Cloud) -> None:
    leaving = ready(await_endpoint(cloud, "ready"))[OTHER]
    with streaming(cloud, OTHER) as (seen, reading):
        assert seen.headers["x-penstock-replica"] == leaving.id
        cloud.client.nodes.drain(leaving.node)
        assert not reading.done(), "the stream runs while the node is being drained"
        assert ask(cloud).headers["x-penstock-chip-type"] == FIRST, "nothing new goes there"
        assert_whole(seen, reading)

    def moved() -> bool:
        replica = ready(cloud.client.endpoints.get("chat")).get(OTHER)
        return replica is not None and replica.node not in (leaving.node, "first")

    eventually(moved, "the replica answers from another node", 90)
    await_endpoint(cloud, "ready")
    intent = cloud.client.nodes.get(leaving.node).intent
    assert intent.state == "cordoned"
    cloud.client.nodes.uncordon(leaving.node)


def test_a_silent_nodes_replica_leaves_at_once_and_a_substitute_answers_before_its_lease_ends(
    cloud: Cloud,
) -> None:
    silent = ready(await_endpoint(cloud, "ready"))[FIRST]
    cloud.nodes["first"].daemon.kill()
    await_endpoint(cloud, "degraded", 30)
    assert ask(cloud).status_code == 200
    endpoint = await_endpoint(cloud, "ready")
    assert {it.node for it in endpoint.replicas if it.ready} == {"other", "spare"}
    assert processes.of_replica(silent.id), "only its own chip waits for the lease"
    assert [it.free_milli for it in cloud.client.chips.list() if it.node == "first"] == [0]
    cloud.restart_agent("first")
    eventually(lambda: not processes.of_replica(silent.id), "the old replica is stopped", 30)
    eventually(
        lambda: all(it.free_milli for it in cloud.client.chips.list() if it.node == "first"),
        "its chip is free again",
    )


def test_the_server_killed_and_started_again_finds_its_endpoint_ready(cloud: Cloud) -> None:
    before = {it.id for it in await_endpoint(cloud, "ready").replicas if it.ready}
    with cloud.server_killed():
        pass
    assert ask(cloud).status_code == 200
    assert {it.id for it in await_endpoint(cloud, "ready").replicas if it.ready} == before


def test_a_cancelled_endpoint_is_closed_and_its_chips_are_free(cloud: Cloud) -> None:
    cloud.client.jobs.cancel("chat")
    cloud.await_job("chat", "cancelled")
    assert ask(cloud).status_code == 404
    assert all(it.free_milli == 1000 for it in cloud.client.chips.list())
