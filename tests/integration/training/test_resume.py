"""Killed and resumed: the same data order anywhere, the same bits on the same ranks."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.agent_socket import FakeAgent, Message
from tests.gang import Gang, Seat, running_gang

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STEPS = 240
UNEVEN = [{"from_step": 0, "shares": [4, 2]}, {"from_step": 90, "shares": [1, 5]}]


def test_resumed_with_the_recorded_shares_the_loss_curve_is_the_same_to_the_bit(
    work: dict[str, Any], tmp_path: Path, cache: Path, agent: FakeAgent
) -> None:
    work |= {"steps": STEPS, "checkpoint_every": 20, "shares": "measured"}
    curve, result = _uninterrupted(work, tmp_path / "a", cache, agent)
    work["shares"] = result["shares"]
    killed, commit = _killed_after_commit(work, tmp_path / "b", cache, agent, at_step=60)
    resumed = _resumed(work, tmp_path / "b", cache, agent, commit, world=2, epoch=2)
    first = commit["step"]
    assert [line["step"] for line in resumed] == list(range(first, STEPS))
    assert _bits(killed[:first]) == _bits(curve[:first])
    assert _bits(resumed) == _bits(curve[first:])
    assert _last_result(agent)["shares"] == result["shares"]


def test_resumed_on_other_ranks_in_other_numbers_the_data_order_goes_on(
    work: dict[str, Any], tmp_path: Path, cache: Path, agent: FakeAgent
) -> None:
    """And from the same checkpoint on the same ranks, uneven as they are, to the bit."""
    work |= {"steps": STEPS, "checkpoint_every": 20, "shares": UNEVEN}
    curve, _ = _uninterrupted(work, tmp_path / "a", cache, agent)
    _, commit = _killed_after_commit(work, tmp_path / "b", cache, agent, at_step=60)
    expected = curve[commit["step"] :]
    same = _resumed(work, tmp_path / "b", cache, agent, commit, world=2, epoch=2)
    assert _bits(same) == _bits(expected)
    work["shares"] = "equal"
    other = _resumed(work, tmp_path / "b", cache, agent, commit, world=3, epoch=3)
    assert [line["samples"] for line in other] == [line["samples"] for line in expected]
    assert [line["data_check"] for line in other] == [line["data_check"] for line in expected]
    assert {tuple(line["shares"]) for line in other} == {(2, 2, 2)}
    for found, wanted in zip(other, expected, strict=True):
        assert abs(found["loss"] - wanted["loss"]) < 0.05 * wanted["loss"]
    assert _last_result(agent)["shares"][-1]["shares"] == [2, 2, 2]


def _uninterrupted(
    work: dict[str, Any], folder: Path, cache: Path, agent: FakeAgent
) -> tuple[list[dict[str, Any]], Message]:
    with _gang(folder, work, 2, 1, agent, cache) as gang:
        assert gang.wait() == [0, 0], gang.logs()
        return gang.curve(), _last_result(agent)


def _killed_after_commit(
    work: dict[str, Any], folder: Path, cache: Path, agent: FakeAgent, at_step: int
) -> tuple[list[dict[str, Any]], Message]:
    """Kills rank 1 once a checkpoint is committed; returns the curve so far and that commit."""
    with _gang(folder, work, 2, 1, agent, cache) as gang:
        until_s = time.monotonic() + 60
        while not (commits := _commits_in(agent, folder, at_step)):
            assert time.monotonic() < until_s, gang.logs()
            time.sleep(0.01)
        gang.kill(1)
        assert gang.wait() == [75, -9], gang.logs()
        assert "rank 0 lost contact with the gang" in gang.log(0)
        assert len(gang.curve()) < STEPS
        return gang.curve(), commits[0]


def _resumed(
    work: dict[str, Any],
    folder: Path,
    cache: Path,
    agent: FakeAgent,
    commit: Message,
    world: int,
    epoch: int,
) -> list[dict[str, Any]]:
    resume = {key: commit[key] for key in ("uri", "step", "manifest_sha256")}
    with _gang(folder, {**work, "resume": resume}, world, epoch, agent, cache) as gang:
        assert gang.wait() == [0] * world, gang.logs()
        assert f"resumed from step {commit['step']}" in gang.log(0)
        return gang.curve()


def _gang(
    folder: Path, work: dict[str, Any], world: int, epoch: int, agent: FakeAgent, cache: Path
) -> AbstractContextManager[Gang]:
    return running_gang(folder, work, [Seat()] * world, epoch, agent.path, cache)


def _commits_in(agent: FakeAgent, folder: Path, at_step: int) -> list[Message]:
    commits = agent.messages("commit_checkpoint")
    return [it for it in commits if it["step"] >= at_step and folder.as_uri() in it["uri"]]


def _last_result(agent: FakeAgent) -> Message:
    result: Message = agent.messages("result")[-1]["result"]
    return result


def _bits(lines: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    kept = ("step", "loss_hex", "samples", "data_check", "shares")
    return [tuple(str(line[key]) for key in kept) for line in lines]
