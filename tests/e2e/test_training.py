"""One training job over two chip types loses a rank twice, the second time with one type gone.

The story is told once: attempt 1 on both chips, its rank 1 killed; attempt 2 on the same chips,
its rank 0 killed after the first node was cordoned; attempt 3 alone on the other type. Then the
same job without any interruption, with the batch shares that the first one recorded.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from penstock.api.jobs import Checkpoint, Job, Replica
from tests.e2e import processes
from tests.e2e.corpus import SHAPE, write_prose
from tests.e2e.processes import eventually
from tests.e2e.rig import Cloud, a_cloud

pytestmark = pytest.mark.slow

FIRST, OTHER = "emulated-a100", "emulated-mi300x"
STEPS, EVERY, BATCH = 300, 20, 6
Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Story:
    """Both jobs once they have ended, and what they left."""

    cloud: Cloud
    job: Job
    plain: Job
    replicas: dict[int, list[Replica]]
    checkpoints: list[Checkpoint]
    curves: list[list[Line]]
    """Of the interrupted job, per attempt."""
    plain_curve: list[Line]

    @property
    def starts(self) -> list[int]:
        return [curve[0]["step"] for curve in self.curves]

    @property
    def curve(self) -> list[Line]:
        """What counted in the end: each attempt up to where the next one went on."""
        ends = [*self.starts[1:], STEPS]
        return [
            line
            for curve, end in zip(self.curves, ends, strict=True)
            for line in curve
            if line["step"] < end
        ]


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with a_cloud() as cloud:
        cloud.add_node("first", f"{FIRST}:1", "--no-cpu-chip")
        cloud.add_node("other", f"{OTHER}:1", "--no-cpu-chip")
        prose = write_prose(cloud.home / "prose")
        job = _interrupted(cloud, prose)
        shares = [it for it in job.result["shares"] if len(it["shares"]) == 2]
        plain = _ended(cloud, _submit(cloud, "plain", prose, 2, shares))
        yield _told(cloud, job, plain)


def _submit(cloud: Cloud, name: str, prose: Path, chips: Any, shares: Any) -> Job:
    train = {
        "model": SHAPE, "data": str(prose), "steps": STEPS, "batch_size": BATCH, "micro_batch": 2,
        "checkpoint_every": EVERY, "learning_rate": 1e-2, "shares": shares,
    }  # fmt: skip
    wishes = {"chips": chips, "chip": [FIRST, OTHER], "mix": True}
    return cloud.submit("train", name=name, train=train, resources=wishes)


def _interrupted(cloud: Cloud, prose: Path) -> Job:
    job = _submit(cloud, "hurt", prose, "1..2", "measured")
    _kill_after_checkpoint(cloud, job, attempt=1, rank=1)
    eventually(lambda: cloud.client.jobs.get("hurt").attempt == 2, "attempt 2 began", 60)
    cloud.client.nodes.cordon("first")
    _kill_after_checkpoint(cloud, job, attempt=2, rank=0)
    ended = _ended(cloud, job)
    cloud.client.nodes.uncordon("first")
    return ended


def _kill_after_checkpoint(cloud: Cloud, job: Job, attempt: int, rank: int) -> None:
    def committed() -> bool:
        return any(it.epoch == attempt for it in cloud.client.jobs.checkpoints(job.id))

    eventually(committed, f"attempt {attempt} committed a checkpoint", 90)
    victim = next(it for it in cloud.replicas(job.id, "running") if it.rank == rank)
    processes.of_replica(victim.id)[0].send_signal(signal.SIGKILL)


def _ended(cloud: Cloud, job: Job) -> Job:
    ended = cloud.client.jobs.wait(job.id, 120)
    log = cloud.client.jobs.log_text(job.id)
    assert ended.state == "succeeded", f"{ended.reason}: {ended.message}\n{log}"
    return ended


def _told(cloud: Cloud, job: Job, plain: Job) -> Story:
    replicas: dict[int, list[Replica]] = {}
    for replica in cloud.client.jobs.replicas(job.id):
        replicas.setdefault(replica.attempt, []).append(replica)
    return Story(
        cloud=cloud,
        job=job,
        plain=plain,
        replicas=replicas,
        checkpoints=list(cloud.client.jobs.checkpoints(job.id)),
        curves=[_curve(cloud, job, attempt) for attempt in (1, 2, 3)],
        plain_curve=_curve(cloud, plain, 1),
    )


def _curve(cloud: Cloud, job: Job, attempt: int) -> list[Line]:
    path = cloud.home / "storage" / "jobs" / job.id / f"losses-e{attempt}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_one_gang_spans_two_chip_types_with_a_rank_on_each(story: Story) -> None:
    chips = {it.rank: [chip.type for chip in it.chips] for it in story.replicas[1]}
    assert sorted(chips) == [0, 1]
    assert sorted(kind for kinds in chips.values() for kind in kinds) == sorted([FIRST, OTHER])


def test_a_killed_rank_stops_its_gang_which_is_tried_again_at_no_cost_to_the_user(
    story: Story,
) -> None:
    assert story.job.spec.retry.limit == 0
    assert (story.job.state, story.job.attempt) == ("succeeded", 3)
    first = {it.rank: it for it in story.replicas[1]}
    assert (first[1].exit_reason, first[1].exit_code) == ("killed", 137)
    assert first[0].state == "exited"
    assert first[0].exit_code != 0
    second = {it.rank: it for it in story.replicas[2]}
    assert second[0].exit_reason == "killed"


def test_the_same_gang_is_placed_again_and_then_what_is_left_of_the_pool(story: Story) -> None:
    def types(attempt: int) -> list[str]:
        return sorted(chip.type for it in story.replicas[attempt] for chip in it.chips)

    assert types(2) == types(1) == sorted([FIRST, OTHER])
    assert types(3) == [OTHER]
    assert [it.world_size for it in story.replicas[3]] == [1]


def test_each_attempt_goes_on_from_the_newest_checkpoint_of_the_one_before(story: Story) -> None:
    newest = [max(it.step for it in story.checkpoints if it.epoch == attempt) for attempt in (1, 2)]
    print(f"attempts began at steps {story.starts}; newest checkpoints before at {newest}")
    assert story.starts == [0, *newest]
    assert newest[0] >= EVERY
    assert [line["step"] for line in story.curve] == list(range(STEPS))


def test_the_order_of_the_data_is_that_of_the_uninterrupted_job_on_any_chips(story: Story) -> None:
    for key in ("samples", "data_check", "tokens"):
        found = [line[key] for line in story.curve]
        assert found == [line[key] for line in story.plain_curve], key


def test_on_the_same_chips_with_the_recorded_shares_the_curve_is_the_same_to_the_bit(
    story: Story,
) -> None:
    end = story.starts[2]
    assert end > story.starts[1] > 0, "two attempts on the same chips are compared"
    found = [(it["step"], it["loss_hex"], it["shares"]) for it in story.curve[:end]]
    wanted = [(it["step"], it["loss_hex"], it["shares"]) for it in story.plain_curve[:end]]
    assert found == wanted


def both(story: Story) -> tuple[list[Line], list[Line]]:
    return story.curve, story.plain_curve


def test_on_another_chip_and_world_size_the_loss_goes_on_falling_beside_it(story: Story) -> None:
    end = story.starts[2]
    found, plain = (mean(it["loss"] for it in curve[end:]) for curve in both(story))
    print(f"mean loss from step {end} on: {found:.4f}, uninterrupted {plain:.4f}")
    assert abs(found - plain) < 0.02 * plain
    assert {tuple(line["shares"]) for line in story.curve[end:]} == {(BATCH,)}
    assert story.curve[-1]["loss"] < story.curve[0]["loss"]


def test_the_result_is_the_jobs_own_and_names_the_checkpoint_that_is_on_storage(
    story: Story,
) -> None:
    result = story.job.result
    last = max(story.checkpoints, key=lambda it: it.step)
    manifest = Path(last.uri.removeprefix("file://")) / "manifest.json"
    assert last.step == STEPS
    assert hashlib.sha256(manifest.read_bytes()).hexdigest() == last.manifest_sha256
    assert result["checkpoint_sha256"] == last.manifest_sha256
    assert result["held_out_loss"] < result["unigram_loss"]
    assert result["chip_types"] == [OTHER]
