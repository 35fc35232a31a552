"""A storage that takes nothing for a while, or for good, is not the job's fault.

A file in the place of a folder refuses every user, root too, with one of the errors that a broken
mount gives.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.agent_socket import FakeAgent
from tests.gang import Seat, running_gang
from workloads import storage_retry
from workloads.settings import Settings
from workloads.storage import StorageFault, read_file, write_file, write_folder
from workloads.training.job import run_training

pytestmark = pytest.mark.integration


def test_a_fault_while_checkpoints_are_written_costs_no_training(
    work: dict[str, Any], tmp_path: Path, cache: Path, agent: FakeAgent
) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "checkpoints").write_text("no folder")
    (folder / "losses-e1.jsonl").mkdir()
    work |= {"steps": 800, "checkpoint_every": 4}
    with running_gang(folder, work, [Seat()] * 2, 1, agent.path, cache) as gang:
        _until(lambda: _step(agent) >= 200, gang.logs)
        (folder / "checkpoints").unlink()
        (folder / "losses-e1.jsonl").rmdir()
        assert gang.wait() == [0, 0], gang.logs()
        assert [line["step"] for line in gang.curve()] == list(range(800))
        assert 1 <= gang.log(0).count("the storage failed") < 20
        assert gang.log(0).count("the loss curve waits for the storage") == 1
    assert agent.messages("commit_checkpoint")[-1]["step"] == 800
    assert agent.messages("failed") == []


def test_a_checkpoint_is_made_up_for_before_the_next_one_is_due(
    work: dict[str, Any], tmp_path: Path, cache: Path, agent: FakeAgent
) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "checkpoints").write_text("no folder")
    work |= {"steps": 100_000, "checkpoint_every": 1000}
    with running_gang(folder, work, [Seat()], 1, agent.path, cache) as gang:
        _until(lambda: "step 1000: the storage failed" in gang.log(0), gang.logs)
        (folder / "checkpoints").unlink()
        _until(lambda: bool(agent.messages("commit_checkpoint")), gang.logs)
        assert agent.messages("commit_checkpoint")[0]["step"] % 1000


def test_a_storage_that_stays_away_ends_the_attempt_as_no_fault_of_its_own(
    work: dict[str, Any],
    tmp_path: Path,
    cache: Path,
    agent: FakeAgent,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage_retry, "GIVE_UP_AFTER_S", 0.0)
    (tmp_path / "data").write_text("no folder")
    settings = Settings(
        storage=tmp_path.as_uri(), work=work, cache_dir=cache, agent_socket=agent.path
    )
    assert run_training(settings) == 75
    (told,) = agent.messages("failed")
    assert told["code"] == "storage_error"
    assert told["message"].startswith(f"the job's storage failed: {tmp_path}/data/")
    assert told["message"].endswith(": not a directory")


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    uri = (tmp_path / "file" / "inner" / "a").as_uri()
    with pytest.raises(StorageFault, match="Not a directory"):
        write_folder(uri, {"a": b"a"})
    with pytest.raises(StorageFault, match="Not a directory"):
        write_file(uri, b"a")
    half: Any = {"a": b"a", "no/such/folder": b"b"}
    with pytest.raises(StorageFault):
        write_folder((tmp_path / "whole").as_uri(), half)
    assert [it.name for it in tmp_path.iterdir()] == ["file"]


def test_a_missing_file_is_no_fault_of_the_storage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        read_file((tmp_path / "missing").as_uri())
    assert not isinstance(caught.value, StorageFault)
    with pytest.raises(StorageFault):
        read_file(tmp_path.as_uri())


def _step(agent: FakeAgent) -> int:
    return max((it["progress"].get("step", 0) for it in agent.messages("progress")), default=0)


def _until(seen: Callable[[], bool], logs: Callable[[], str]) -> None:
    until_s = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < until_s, logs()
        time.sleep(0.02)
