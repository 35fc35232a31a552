"""Tables on a narrow terminal keep every column that matters, and say what was cut."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from penstock.cli.output.columns import CHIPS, EVENTS, JOBS, NODES, Column
from penstock.cli.output.fitting import shorten
from penstock.cli.output.tables import WAS_CUT, table
from penstock.cli.terminal.text import width

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
SINCE = "2026-01-01T00:00:00.123456Z"
CHIP: dict[str, Any] = {
    "id": "chip_0192f0c1d2e37b5a8c4d1234abcd5678", "node": "gpu-node-17", "type": "emulated-a100",
    "vendor": "emulated", "index": 3, "emulated": True, "memory_bytes": 2**31,
    "health": "unhealthy", "free_milli": 250, "held_by": ["tiny-coder", "another-one", "third"],
}  # fmt: skip
NODE: dict[str, Any] = {
    "id": "node_0192f0c1d2e37b5a8c4d1234abcd5678", "name": "gpu-node-17",
    "health": {"state": "suspect"}, "intent": {"state": "schedulable"},
    "chips": {"cpu": 1, "emulated-a100": 2, "emulated-910b": 2}, "cores_milli": 16000,
    "free_cores_milli": 12500, "memory_bytes": 33_520_000_000, "free_memory_bytes": 16_640_000_000,
    "last_heartbeat_at": SINCE, "created_at": SINCE,
}  # fmt: skip
JOB: dict[str, Any] = {
    "id": "job_0192f0c1d2e37b5a8c4d1234abcd5678", "name": "tiny-coder", "state": "succeeded",
    "type": "train", "queue": "default", "asked": {"any": 4}, "waited_s": 0.4, "ran_s": 75.0,
    "chips": [{"type": "emulated-a100", "milli": 2000}, {"type": "emulated-910b", "milli": 2000}],
    "progress": {"step": 1000, "total_steps": 2000}, "exit_code": 0, "created_at": SINCE,
}  # fmt: skip


@pytest.mark.parametrize(
    "document,columns,kept",
    [
        (CHIP, CHIPS, ["…abcd5678", "emulated-a100", "2GiB", "unhealthy", "25%", "+2"]),
        (NODE, NODES, ["gpu-node-17", "suspect", "schedulable", "cpu:1", "12.5/16", "15.5GiB/31"]),
        (JOB, JOBS, ["tiny-coder", "succeeded", "any:4", "1m15s", "1000/2000", "0"]),
    ],
)
def test_eighty_columns_are_enough_for_what_matters(
    document: dict[str, Any], columns: tuple[Column, ...], kept: list[str]
) -> None:
    lines = table([document], columns, now=NOW, max_width=80).splitlines()
    assert all(width(line) <= 80 for line in lines)
    assert [word for word in kept if word not in lines[1]] == []
    titles = [one.title for one in columns if not (one.wide or one.spare)]
    assert [title for title in titles if title not in lines[0]] == []
    assert lines[-1] == WAS_CUT


def test_where_there_is_room_nothing_is_cut_and_nothing_said() -> None:
    text = table([CHIP], CHIPS, now=NOW, max_width=160)
    assert CHIP["id"] in text
    assert "tiny-coder,another-one,third" in text
    assert WAS_CUT not in text


def test_wide_shows_all_on_any_terminal() -> None:
    text = table([CHIP], CHIPS, now=NOW, max_width=80, wide=True)
    assert CHIP["id"] in text
    assert "tiny-coder,another-one,third" in text
    assert WAS_CUT not in text


def test_of_a_long_message_the_start_is_shown_and_times_stay_whole() -> None:
    event = {"at": SINCE, "type": "job.running", "message": "word " * 40}
    header, row, _ = table([event], EVENTS, now=NOW, max_width=80).splitlines()
    assert row.startswith(f"{SINCE}  job.running  word word")
    assert (width(row), row[-1]) == (80, "…")
    assert header.split() == ["AT", "TYPE", "MESSAGE"]


def test_text_is_cut_by_its_width_and_not_by_its_length() -> None:
    assert shorten("作业作业", 5) == "作业…"
    assert shorten("ab", 2) == "ab"
