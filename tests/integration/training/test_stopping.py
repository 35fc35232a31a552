"""A gang that is asked to stop ends together, with its work saved."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.agent_socket import FakeAgent
from tests.gang import Seat, running_gang

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("asked", [0, 1])
def test_asking_one_rank_to_stop_ends_the_gang_with_a_committed_checkpoint(
    asked: int, work: dict[str, Any], tmp_path: Path, cache: Path, agent: FakeAgent
) -> None:
    work |= {"steps": 100_000, "checkpoint_every": 100_000}
    with running_gang(tmp_path / "a", work, [Seat()] * 2, 1, agent.path, cache) as gang:
        until_s = time.monotonic() + 60
        while not any("step" in it["progress"] for it in agent.messages("progress")):
            assert time.monotonic() < until_s, gang.logs()
            time.sleep(0.02)
        began_s = time.monotonic()
        gang.kill(asked, signal.SIGTERM)
        assert gang.wait() == [143, 143], gang.logs()
        assert time.monotonic() - began_s < 10
        commits = agent.messages("commit_checkpoint")
        assert [it["step"] for it in commits] == [len(gang.curve())]
        assert agent.messages("result") == []


def test_a_batch_smaller_than_the_gang_is_refused_in_one_sentence(
    work: dict[str, Any], tmp_path: Path, cache: Path
) -> None:
    work["batch_size"] = 1
    with running_gang(tmp_path / "a", work, [Seat()] * 2, 1, None, cache) as gang:
        assert gang.wait() == [1, 1], gang.logs()
        assert "batch_size 1 is less than the number of ranks 2" in gang.log(0)
        assert "Traceback" not in gang.logs()
