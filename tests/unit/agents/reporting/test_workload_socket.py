"""What a replica may say over its agent's socket, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agents.boottime import boottime_ns
from agents.reporting.workload_socket import WorkloadSocket
from penstock.api.assignments import Failure
from penstock.api.ids import ReplicaId
from tests.fakes.agent_parts import Bench, a_list, an_assignment

SHA = "a" * 64


class Conversation:
    """One replica that talks to its agent."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.socket = WorkloadSocket(self.bench.client, self.bench.controller)
        self.bench.controller.take(a_list(1, an_assignment()), boottime_ns())
        self.bench.controller.sweep()
        self.bench.controller.outbox.take()

    def say(self, *messages: dict[str, Any] | bytes, token: str | None = None) -> list[Any]:
        held = self.bench.controller.replicas.get(ReplicaId("replica_1"))
        assert held is not None
        identity = {"replica_id": "replica_1", "token": token or held.token}

        async def talk() -> list[Any]:
            replies = []
            for it in messages:
                line = it if isinstance(it, bytes) else json.dumps({**identity, **it}).encode()
                replies.append(await self.socket.answer(line))
            await self.socket.close()
            return replies

        return asyncio.run(talk())

    def told(self, what: str) -> list[Any]:
        request = self.bench.controller.outbox.take()
        seen = request.observations if request is not None else ()
        return [value for it in seen if (value := getattr(it, what)) is not None]


def test_progress_and_speed_become_observations() -> None:
    talk = Conversation()
    speed = {"work_class": "train/x", "value": 12.0}
    replies = talk.say({"op": "progress", "progress": {"step": 3}}, {"op": "speed", "speed": speed})
    assert replies == [{"ok": True}, {"ok": True}]
    assert [it.step for it in talk.told("progress")] == [3]


def test_a_flood_of_progress_is_thinned_and_its_last_word_kept() -> None:
    talk = Conversation()
    talk.say(*({"op": "progress", "progress": {"step": n}} for n in range(100)))
    assert [it.step for it in talk.told("progress")] == [0]
    talk.socket.pass_on_last(ReplicaId("replica_1"))
    assert [it.step for it in talk.told("progress")] == [99]


def test_a_result_is_kept_before_it_is_acknowledged() -> None:
    talk = Conversation()
    talk.say({"op": "result", "result": {"loss": 1.5}}, {"op": "result", "result": {"sha": "x"}})
    assert talk.bench.runtime.replicas[ReplicaId("replica_1")].result == {"loss": 1.5, "sha": "x"}
    assert talk.told("result") == [{"loss": 1.5, "sha": "x"}]


def test_a_failure_is_kept_and_told_with_the_end() -> None:
    talk = Conversation()
    said = {"op": "failed", "code": "model_refused", "message": "no\x1b[31m such\nfolder"}
    assert talk.say(said) == [{"ok": True}]
    kept = talk.bench.runtime.replicas[ReplicaId("replica_1")].failure
    assert kept == Failure(code="model_refused", message="no such folder")
    assert talk.bench.controller.outbox.take() is None
    talk.bench.runtime.end(ReplicaId("replica_1"), 1)
    talk.bench.controller.sweep()
    (record,) = talk.told("exit")
    assert record.failure == kept


@pytest.mark.parametrize("said", [{}, {"code": "Bad Code", "message": "x"}, {"code": "x"}])
def test_a_failure_without_code_or_words_is_refused(said: dict[str, Any]) -> None:
    (reply,) = Conversation().say({"op": "failed", **said})
    assert (reply["ok"], reply["code"]) == (False, "invalid")


def test_ready_is_told_once() -> None:
    talk = Conversation()
    talk.say({"op": "ready", "ready": True}, {"op": "ready", "ready": True})
    assert talk.told("ready") == [True]


def test_a_checkpoint_is_committed_under_the_replicas_own_epoch() -> None:
    talk = Conversation()
    commit = {"op": "commit_checkpoint", "step": 5, "uri": "memory://x", "manifest_sha256": SHA}
    assert talk.say(commit) == [{"ok": True, "checkpoint_id": "checkpoint_5"}]
    (seen,) = talk.bench.fake.checkpoints
    assert (seen.replica_id, seen.epoch, seen.step) == ("replica_1", 1, 5)


def test_a_commit_of_a_dead_epoch_is_refused() -> None:
    talk = Conversation()
    talk.bench.fake.refusals["replica_1"] = "stale_epoch"
    commit = {"op": "commit_checkpoint", "step": 5, "uri": "memory://x", "manifest_sha256": SHA}
    (reply,) = talk.say(commit)
    assert (reply["ok"], reply["code"]) == (False, "stale_epoch")


def test_a_commit_while_the_control_plane_is_away_may_be_tried_again() -> None:
    talk = Conversation()
    talk.bench.fake.away = True
    commit = {"op": "commit_checkpoint", "step": 5, "uri": "memory://x", "manifest_sha256": SHA}
    (reply,) = talk.say(commit)
    assert (reply["ok"], reply["code"]) == (False, "unavailable")


@pytest.mark.parametrize("token", ["wrong", "é"])
def test_a_replica_cannot_speak_for_another(token: str) -> None:
    talk = Conversation()
    (reply,) = talk.say({"op": "result", "result": {"x": 1}}, token=token)
    assert (reply["ok"], reply["code"]) == (False, "denied")
    assert talk.told("result") == []


def test_an_unknown_replica_is_denied_like_a_wrong_token() -> None:
    talk = Conversation()
    unknown = {"op": "ready", "replica_id": "replica_9"}
    wrong = {"op": "ready", "token": "wrong"}
    assert talk.say(unknown) == talk.say(wrong)


@pytest.mark.parametrize(
    "message",
    [
        b"not json\n",
        b"[1]\n",
        b"\xff\n",
        b"[" * 100_000,
        {"op": "reboot"},
        {},
        {"op": ["progress"]},
        {"op": "progress"},
        {"op": "progress", "progress": {"step": -1}},
        {"op": "progress", "progress": {"steps": 1}},
        {"op": "speed", "speed": {"value": 1}},
        {"op": "result", "result": [1]},
        {"op": "result", "result": {"x": "y" * 70_000}},
        {"op": "commit_checkpoint", "step": 1, "uri": "x", "manifest_sha256": "short"},
    ],
)
def test_what_is_not_the_protocols_gets_one_clear_answer(message: dict[str, Any] | bytes) -> None:
    (reply,) = Conversation().say(message)
    assert (reply["ok"], reply["code"]) == (False, "invalid")
    assert reply["message"]
