"""Why jobs wait, asked of a living cloud, and the way past the queue: preemption.

Node a has 2 emulated-a100 and 4 emulated-910b, node b has 2 emulated-mlu370; no real chip is
offered, so that every count is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from penstock.api.plans import Explanation
from tests.e2e.processes import eventually
from tests.e2e.rig import Cloud, a_cloud

A100, B910, MLU = "emulated-a100", "emulated-910b", "emulated-mlu370"
ALL = {A100: 2, B910: 4, MLU: 2}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with a_cloud() as made:
        made.add_node("a", f"{A100}:2,{B910}:4", "--no-cpu-chip")
        made.add_node("b", f"{MLU}:2", "--no-cpu-chip")
        yield made


@contextmanager
def job(cloud: Cloud, name: str, chips: int, kind: str, **fields: Any) -> Iterator[str]:
    """A job that would sleep for a minute; cancelled and gone afterwards."""
    wishes = {"chips": chips, "chip": kind, **fields.pop("more", {})}
    task = {"command": ["sleep", "60"], "replicas": fields.pop("replicas", 1)}
    cloud.submit(name=name, task=task, resources=wishes, **fields)
    try:
        yield name
    finally:
        cloud.client.jobs.cancel(name)
        cloud.await_job(name, "cancelled")


def why(cloud: Cloud, name: str, code: str) -> Explanation:
    """The answer for a waiting job; the job itself says the same word, once it was looked at."""
    eventually(lambda: cloud.client.jobs.get(name).reason == code, f"{name} waits: {code}")
    answer = cloud.client.jobs.explain(name)
    assert (answer.state, answer.code) == ("queued", code), answer.sentence
    assert answer.sentence.startswith(f"{name}: ")
    return answer


def removed(answer: Explanation, code: str) -> dict[str, int]:
    return next((it.chips for it in answer.removals if it.code == code), {})


def test_a_job_for_more_chips_than_there_are_is_told_how_many_there_are(cloud: Cloud) -> None:
    with job(cloud, "too-big", 64, A100) as name:
        answer = why(cloud, name, "too_many_chips")
        assert f"asks for 64 chips of type {A100} on one node" in answer.sentence
        assert f"the pool has 2: 2 {A100}" in answer.sentence
        assert removed(answer, "type") == {B910: 4, MLU: 2}
        assert f"ask for at most 2 chips ({A100})" in answer.unblock
        assert answer.unblock[-1] in (
            f"add 64 chips of type {A100} on one node",
            f"add 62 more {A100} chips to node a",
        ), "whether the host carries 62 more depends on its cores"


def test_a_job_for_another_vendor_is_told_which_chips_there_are(cloud: Cloud) -> None:
    with job(cloud, "foreign", 1, "nvidia") as name:
        answer = why(cloud, name, "vendor")
        assert "1 chip of vendor nvidia; the pool has none" in answer.sentence
        assert all(f"{count} {kind}" in answer.sentence for kind, count in ALL.items())
        assert removed(answer, "vendor") == ALL
        assert any(f"{A100} (emulated, stands for nvidia-a100)" in way for way in answer.unblock)


def test_a_job_for_more_memory_is_told_how_much_the_chips_have(cloud: Cloud) -> None:
    with job(cloud, "roomy", 1, "any", more={"memory": "8GiB"}) as name:
        answer = why(cloud, name, "memory")
        assert "at least 8 GiB each; 8 chips have less" in answer.sentence
        assert f"2 {A100} (2 GiB)" in answer.sentence
        assert removed(answer, "memory") == ALL
        assert any(
            way.startswith("ask for at most 2 GiB per chip (") and A100 in way
            for way in answer.unblock
        )
        assert "add 1 chip with at least 8 GiB" in answer.unblock


def test_a_cordoned_node_is_named_with_its_chips_and_uncordoning_starts_the_job(
    cloud: Cloud,
) -> None:
    cloud.client.nodes.cordon("b")
    try:
        with job(cloud, "shut-out", 1, MLU) as name:
            answer = why(cloud, name, "cordoned")
            assert f"node b is cordoned: 2 {MLU}; none is left" in answer.sentence
            assert removed(answer, "cordoned") == {MLU: 2}
            assert "uncordon node b (2 chips)" in answer.unblock
            cloud.client.nodes.uncordon("b")
            assert cloud.await_job(name, "running").chips[0].node == "b"
    finally:
        cloud.client.nodes.uncordon("b")


def test_a_queue_at_its_limit_is_named_and_raising_the_limit_starts_the_job(cloud: Cloud) -> None:
    cloud.client.queues.set_limits("small", {A100: 1})
    with job(cloud, "first", 1, A100, queue="small"):
        cloud.await_job("first", "running")
        with job(cloud, "second", 1, A100, queue="small") as name:
            answer = why(cloud, name, "queue_limit")
            limit = f"queue small may hold 1 chip of type {A100} at once; its jobs hold 1"
            assert limit in answer.sentence
            assert removed(answer, "queue_limit") == {A100: 2}
            cloud.client.queues.set_limits("small", {A100: 2})
            cloud.await_job(name, "running")


def test_a_job_behind_higher_priority_is_told_who_holds_how_many_chips(cloud: Cloud) -> None:
    with job(cloud, "urgent", 4, B910, priority=90):
        cloud.await_job("urgent", "running")
        with job(cloud, "modest", 2, B910, priority=10) as name:
            answer = why(cloud, name, "behind_higher_priority")
            assert f"urgent (priority 90) holds 4 {B910}" in answer.sentence
            assert removed(answer, "busy") == {B910: 4}


def test_a_gang_that_fits_in_part_is_told_how_many_members_fit(cloud: Cloud) -> None:
    with job(cloud, "neighbour", 1, A100):
        cloud.await_job("neighbour", "running")
        with job(cloud, "pair", 1, A100, replicas=2) as name:
            answer = why(cloud, name, "gang_partly_fits")
            assert "gang needs 2 members, 1 fits" in answer.sentence
            assert f"in use: 1 {A100}, by neighbour" in answer.sentence
            assert removed(answer, "busy") == {A100: 1}
            assert not cloud.replicas(name), "all or none"


def test_the_command_prints_the_same_sentence(cloud: Cloud) -> None:
    with job(cloud, "printed", 64, A100) as name:
        answer = why(cloud, name, "too_many_chips")
        done = cloud.cli("job", "explain", name)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[0] == answer.sentence


def test_a_job_of_higher_priority_takes_the_chips_and_the_lower_one_ends_well_later(
    cloud: Cloud,
) -> None:
    script = "echo attempt $PENSTOCK_EPOCH; sleep $((PENSTOCK_EPOCH > 1 ? 0 : 60))"
    wishes = {"chips": 2, "chip": A100}
    cloud.submit(name="lower", priority=20, resources=wishes, command=["sh", "-c", script])
    cloud.await_job("lower", "running")
    with job(cloud, "higher", 2, A100, priority=80) as name:
        cloud.await_job(name, "running", within_s=30)
        assert {chip.type for chip in cloud.client.jobs.get(name).chips} == {A100}
        waiting = why(cloud, "lower", "behind_higher_priority")
        assert f"higher (priority 80) holds 2 {A100}" in waiting.sentence
    ended = cloud.await_job("lower", "succeeded")
    assert ended.attempt == 2
    assert cloud.whole_log("lower") == ["attempt 1", "attempt 2"]
    first, second = sorted(cloud.client.jobs.replicas("lower"), key=lambda it: it.attempt)
    assert (first.exit_reason, second.exit_reason) == ("stopped", "completed")
    types = [event.type for event in cloud.client.jobs.events("lower")]
    assert types.count("job.queued") == 2, types


def test_equal_priority_preempts_nobody(cloud: Cloud) -> None:
    with job(cloud, "here-first", 2, A100):
        cloud.await_job("here-first", "running")
        with job(cloud, "here-second", 2, A100) as name:
            why(cloud, name, "busy")
            assert cloud.client.jobs.get("here-first").attempt == 1
