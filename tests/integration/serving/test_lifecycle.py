"""A real replica's life: loading, clients that leave, a full house, draining, a bad model."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.serving.conftest import LongCheckpoint
from tests.integration.serving.replica import Replica, serving, starting, stream_events

pytestmark = pytest.mark.integration
LONG = {
    "model": "tiny", "prompt": "a", "temperature": 0, "max_tokens": 4000, "ignore_eos": True,
    "stream": True,
}  # fmt: skip


@contextmanager
def streaming(replica: Replica, **changes: Any) -> Iterator[httpx.Response]:
    with (
        replica.client() as client,
        client.stream("POST", "/v1/completions", json={**LONG, **changes}) as response,
    ):
        yield response


def is_empty(replica: Replica) -> bool:
    return (
        replica.metric("vllm:num_requests_running") == 0
        and replica.metric("vllm:num_requests_waiting") == 0
        and replica.metric("vllm:kv_cache_usage_perc") == 0
    )


def aborted(replica: Replica) -> float:
    return replica.metric("vllm:request_success_total", finished_reason="abort")


def test_a_client_that_leaves_its_stream_frees_its_pages(replica: Replica) -> None:
    before = aborted(replica)
    with streaming(replica) as response:
        next(stream_events(response))
    replica.wait_for(lambda: is_empty(replica), timeout_s=5)
    assert aborted(replica) == before + 1


def test_a_client_that_leaves_without_waiting_frees_its_pages(replica: Replica) -> None:
    before = aborted(replica)
    with replica.client() as client, pytest.raises(httpx.ReadTimeout):
        client.post("/v1/completions", json={**LONG, "stream": False}, timeout=0.3)
    replica.wait_for(lambda: is_empty(replica), timeout_s=5)
    assert aborted(replica) == before + 1


def test_a_reader_that_never_reads_disturbs_nobody(replica: Replica) -> None:
    body = b'{"model":"tiny","prompt":"a","max_tokens":4000,"ignore_eos":true,"stream":true}'
    head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", replica.port)) as silent:
        silent.sendall(head.encode() + body)
        with streaming(replica, max_tokens=50) as response:
            assert len(list(stream_events(response))) > 0
    replica.wait_for(lambda: is_empty(replica), timeout_s=30)


def test_a_full_house_answers_429_and_takes_guests_again_later(
    long_checkpoint: LongCheckpoint, tmp_path: Path
) -> None:
    work = long_checkpoint.work(max_running=1, max_waiting=1)
    with serving(tmp_path, work) as replica:
        with streaming(replica) as first, streaming(replica) as second:
            events = stream_events(first)
            next(events)
            with streaming(replica) as third:
                assert third.status_code == 429
                assert third.headers["retry-after"] == "1"
            assert second.status_code == 200
        replica.wait_for(lambda: is_empty(replica), timeout_s=5)
        with streaming(replica, max_tokens=2) as later:
            assert later.status_code == 200


def test_draining_finishes_running_streams_and_admits_nobody(
    long_checkpoint: LongCheckpoint, tmp_path: Path
) -> None:
    with serving(tmp_path, long_checkpoint.work(drain_s=60)) as replica:
        with ThreadPoolExecutor(3) as pool, streaming(replica, max_tokens=1500) as response:
            events = stream_events(response)
            next(events)
            waiting = [pool.submit(_count_events, replica) for _ in range(3)]
            replica.wait_for(lambda: replica.metric("vllm:num_requests_running") == 4)
            replica.terminate()
            replica.wait_for(lambda: replica.health() == 503, timeout_s=1)
            with streaming(replica) as refused:
                assert refused.status_code == 503
                assert "draining" in refused.read().decode()
            finish = [event["choices"][0]["finish_reason"] for event in events]
            assert finish[-1] == "length"
            assert [future.result() for future in waiting] == ["length"] * 3
        assert replica.exit_code() == 0


def _count_events(replica: Replica) -> str:
    with streaming(replica, max_tokens=1500) as response:
        return str(list(stream_events(response))[-1]["choices"][0]["finish_reason"])


def test_draining_ends_in_time_and_says_so_to_the_rest(
    long_checkpoint: LongCheckpoint, tmp_path: Path
) -> None:
    with serving(tmp_path, long_checkpoint.work(drain_s=0.3)) as replica:
        with streaming(replica) as response:
            events = stream_events(response)
            next(events)
            replica.terminate()
            began = time.monotonic()
            last = list(events)[-1]
        assert last["error"]["code"] == "draining"
        assert replica.exit_code() == 0
        assert time.monotonic() - began < 8


def test_a_replica_stopped_while_loading_ends_without_serving(
    long_checkpoint: LongCheckpoint, tmp_path: Path
) -> None:
    with starting(tmp_path, long_checkpoint.work()) as replica:
        replica.wait_for(lambda: replica.health() == 503)
        replica.terminate()
        assert replica.exit_code() == 0
        assert replica.agent.ops("ready") == []


def test_a_refused_model_ends_the_replica_with_the_reason(tmp_path: Path) -> None:
    trap = tmp_path / "model"
    trap.mkdir()
    (trap / "pytorch_model.bin").write_bytes(b"cposix\nsystem\n.")
    work = {"model_uri": str(trap), "model_name": "m", "kind": "huggingface"}
    with starting(tmp_path, work) as replica:
        assert replica.exit_code(60) == 1
        assert "pickle files can run code" in replica.log()
        assert "Traceback" not in replica.log()
        (told,) = replica.agent.ops("failed")
        assert told["code"] == "model_refused"
        assert "pickle files can run code" in told["message"]


FAILING_RUNNER = """
from workloads.engine.runner import Runner
real, calls = Runner.forward, []
def forward(self, chunks):
    if not chunks[0].sequence.id.startswith("measure"):
        calls.append(1)
    if len(calls) > 5:
        raise RuntimeError("the chip fell off the bus")
    return real(self, chunks)
Runner.forward = forward
"""


def test_a_failing_chip_ends_streams_with_an_error_and_the_replica_with_it(
    long_checkpoint: LongCheckpoint, tmp_path: Path
) -> None:
    with starting(tmp_path, long_checkpoint.work(), patch=FAILING_RUNNER) as replica:
        replica.wait_for(lambda: replica.health() == 200)
        with streaming(replica) as response:
            *_, last = stream_events(response)
        assert last["error"]["code"] == "engine_error"
        assert replica.exit_code() == 1
        assert "the chip fell off the bus" in replica.log()
        (told,) = replica.agent.ops("failed")
        assert told["code"] == "crashed"
        assert told["message"].startswith("serving ")
        assert told["message"].endswith(" failed: RuntimeError: the chip fell off the bus")


def test_a_port_that_is_taken_ends_the_replica(
    long_checkpoint: LongCheckpoint, replica: Replica, tmp_path: Path
) -> None:
    with starting(tmp_path, long_checkpoint.work(), port=replica.port) as second:
        assert second.exit_code(60) != 0
        assert "address already in use" in second.log()
