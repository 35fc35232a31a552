"""The agent's socket: absent, away for a while, or with bad news."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from penstock.api.jobs import Progress
from penstock.api.specs import ModelShape
from penstock.api.work import ModelSize, train_class
from tests.fakes.agent_socket import FakeAgent, Message
from tests.gang import Seat, running_gang
from workloads.reporter import CommitRefused, Reporter, StaleEpoch

pytestmark = pytest.mark.integration
SHA = "a" * 64


def _reporter(path: Path | None) -> Reporter:
    return Reporter(path, "replica_1", "secret")


def test_every_message_says_who_speaks(agent: FakeAgent) -> None:
    reporter = _reporter(agent.path)
    reporter.ready()
    reporter.commit(4, "file:///x", SHA)
    reporter.result({"held_out_loss": 1.5})
    assert reporter.close(5.0)
    assert {(it["replica_id"], it["token"]) for it in agent.heard} == {("replica_1", "secret")}
    assert agent.messages("result")[0]["result"] == {"held_out_loss": 1.5}
    commit = agent.messages("commit_checkpoint")[0]
    assert (commit["step"], commit["uri"], commit["manifest_sha256"]) == (4, "file:///x", SHA)


def test_without_an_agent_nothing_is_waited_for() -> None:
    reporter = _reporter(None)
    reporter.progress(Progress(step=1))
    reporter.commit(1, "file:///x", SHA)
    assert reporter.close(0.0)


def test_an_absent_agent_costs_the_caller_no_time_and_the_commit_is_kept(tmp_path: Path) -> None:
    reporter = _reporter(tmp_path / "agent.sock")
    began_s = time.monotonic()
    for step in range(1000):
        reporter.progress(Progress(step=step))
    reporter.commit(1000, "file:///x", SHA)
    assert time.monotonic() - began_s < 0.5
    assert not reporter.drain(0.3)
    with FakeAgent(tmp_path / "agent.sock") as agent:
        assert reporter.drain(10.0)
        assert [it["step"] for it in agent.messages("commit_checkpoint")] == [1000]


def test_an_agent_that_restarts_gets_what_it_missed(agent: FakeAgent) -> None:
    reporter = _reporter(agent.path)
    reporter.ready()
    assert reporter.drain(5.0)
    agent.stop()
    reporter.commit(8, "file:///x", SHA)
    agent.start()
    assert reporter.close(10.0)
    assert {it["step"] for it in agent.messages("commit_checkpoint")} == {8}


def test_a_commit_is_tried_again_while_the_control_plane_is_away(agent: FakeAgent) -> None:
    answers = iter(["unavailable", "unavailable"])

    def away_at_first(message: Message) -> Message:
        code = next(answers, None)
        return {"ok": False, "code": code} if code else {"ok": True}

    agent.answer = away_at_first
    reporter = _reporter(agent.path)
    reporter.commit(8, "file:///x", SHA)
    assert reporter.close(10.0)
    reporter.check()
    assert len(agent.messages("commit_checkpoint")) == 3


@pytest.mark.parametrize("code, raised", [("stale_epoch", StaleEpoch), ("invalid", CommitRefused)])
def test_a_refusal_is_final(code: str, raised: type[Exception], agent: FakeAgent) -> None:
    agent.answer = lambda message: {"ok": False, "code": code, "message": "attempt 2 runs"}
    reporter = _reporter(agent.path)
    reporter.commit(8, "file:///x", SHA)
    assert reporter.close(5.0)
    with pytest.raises(raised, match="attempt 2 runs"):
        reporter.check()
    assert len(agent.messages("commit_checkpoint")) == 1


def test_an_attempt_that_was_superseded_stops_and_says_so(
    work: dict[str, Any], tmp_path: Path, cache: Path, agent: FakeAgent
) -> None:
    def fences(message: Message) -> Message:
        stale = {"ok": False, "code": "stale_epoch", "message": "attempt 2 has taken over"}
        return stale if message["op"] == "commit_checkpoint" else {"ok": True}

    agent.answer = fences
    work |= {"steps": 100_000, "checkpoint_every": 5}
    with running_gang(tmp_path / "a", work, [Seat()] * 2, 1, agent.path, cache) as gang:
        codes = gang.wait()
        assert codes == [1, 143], gang.logs()
        assert "rank 0 cannot go on: attempt 2 has taken over" in gang.log(0)
        assert agent.messages("result") == []


def test_a_job_without_its_data_tells_the_agent_why_it_cannot_go_on(
    work: dict[str, Any], tmp_path: Path, cache: Path, agent: FakeAgent
) -> None:
    work |= {"data": "/no/such/folder"}
    with running_gang(tmp_path / "a", work, [Seat()], 1, agent.path, cache) as gang:
        assert gang.wait() == [1], gang.logs()
    (told,) = agent.messages("failed")
    assert told["code"] == "bad_input"
    assert "'/no/such/folder' is neither 'stdlib' nor a folder on this node" in told["message"]


def test_a_checkpoint_that_is_gone_is_told_as_such(
    work: dict[str, Any], tmp_path: Path, cache: Path, agent: FakeAgent
) -> None:
    work |= {"resume": {"uri": (tmp_path / "gone").as_uri(), "step": 4}}
    with running_gang(tmp_path / "a", work, [Seat()], 1, agent.path, cache) as gang:
        assert gang.wait() == [1], gang.logs()
    (told,) = agent.messages("failed")
    assert told["code"] == "bad_checkpoint"
    assert told["message"].endswith("gone/manifest.json is missing")


def test_a_job_reports_progress_speed_and_its_own_result(
    work: dict[str, Any], tmp_path: Path, cache: Path, agent: FakeAgent
) -> None:
    with running_gang(tmp_path / "a", work, [Seat("emulated-x")], 1, agent.path, cache) as gang:
        assert gang.wait() == [0], gang.logs()
    result = agent.messages("result")[-1]["result"]
    assert result["world_size"] == 1
    assert result["chip_types"] == ["emulated-x"]
    assert result["tokens"] == 12 * 6 * 32
    assert result["shares"] == [{"from_step": 0, "shares": [6]}]
    commit = agent.messages("commit_checkpoint")[-1]
    assert (commit["step"], commit["manifest_sha256"]) == (12, result["checkpoint_sha256"])
    progress = agent.messages("progress")[-1]["progress"]
    assert (progress["step"], progress["total_steps"]) == (12, 12)
    assert agent.messages("ready")
    speed = agent.messages("speed")[-1]["speed"]
    size = ModelSize.of({**dict(ModelShape()), **work["model"]})
    assert speed["work_class"] == str(train_class(size, 6, 2, 1))
