"""Tables and details: alignment, width, colours, and which columns there are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from penstock.cli.output.columns import CHIPS, ENDPOINTS, JOBS, Column
from penstock.cli.output.tables import details, table

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
NAME = Column("NAME", lambda document, now: document["name"])
STATE = Column("STATE", lambda document, now: document["state"])
NOTE = Column("NOTE", lambda document, now: document.get("note"), wide=True)
ROWS: list[dict[str, Any]] = [
    {"name": "a", "state": "running", "note": "x"},
    {"name": "作业", "state": "failed"},
]


def painted(text: str, color: str) -> str:
    return f"<{color}>{text}</>"


def test_columns_are_aligned_by_width_and_not_by_length() -> None:
    assert table(ROWS, [NAME, STATE], now=NOW).splitlines() == [
        "NAME  STATE",
        "a     running",
        "作业  failed",
    ]


def test_wide_columns_appear_on_request_and_empty_cells_are_dashes() -> None:
    text = table(ROWS, [NAME, NOTE], now=NOW, wide=True)
    assert text.splitlines() == ["NAME  NOTE", "a     x", "作业  -"]
    assert "NOTE" not in table(ROWS, [NAME, NOTE], now=NOW)


def test_lines_are_cut_to_the_terminal() -> None:
    assert table(ROWS, [NAME, STATE], now=NOW, max_width=8).splitlines()[1] == "a     r…"


def test_states_are_painted_and_nothing_else_is() -> None:
    lines = table(ROWS, [NAME, STATE], now=NOW, paint=painted).splitlines()
    assert lines == ["NAME  STATE", "a     <green>running</>", "作业  <red>failed</>"]


def test_a_name_cannot_drive_the_terminal() -> None:
    assert "\x1b" not in table([{"name": "\x1b[2J", "state": "x"}], [NAME], now=NOW)


def test_half_a_chip_is_not_shown_as_a_whole_one() -> None:
    row = dict.fromkeys((it.title for it in JOBS), None)
    job = {**row, "asked": {"any": 0.5}, "chips": [{"type": "cpu", "milli": 500}]}
    cells = {it.title: str(it.cell(job, NOW)) for it in JOBS}
    assert (cells["ASKED"], cells["HELD"]) == ("any:0.5", "cpu:0.5")
    chip = {column.title: "" for column in CHIPS} | {"emulated": False, "free_milli": 500}
    assert {it.title: it.cell(chip, NOW) for it in CHIPS}["FREE"] == "50%"
    text = details({"asked": {"any": 2.0, "cpu": 0.5}, "done": True, "waited_s": 1234567.25})
    assert text.splitlines() == [
        "asked:",
        "  any: 2",
        "  cpu: 0.5",
        "done:     yes",
        "waited_s: 1234567.25",
    ]


def test_a_job_shows_waiting_running_chips_and_progress() -> None:
    job = {
        "name": "tiny", "state": "running", "type": "train", "queue": "default",
        "asked": {"any": 4, "cpu": 0}, "waited_s": 0.42, "ran_s": 75.0, "exit_code": None,
        "chips": [{"type": "emulated-a100", "milli": 500}, {"type": "emulated-a100", "milli": 250}],
        "progress": {"step": 7, "total_steps": 10}, "created_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    _, row = table([job], JOBS, now=NOW).splitlines()
    assert row.split() == [
        "tiny",
        "running",
        "train",
        "default",
        "any:4",
        "emulated-a100:0.75",
        "0.4s",
        "1m15s",
        "7/10",
        "-",
        "1m00s",
    ]


def test_an_endpoint_counts_what_was_asked_for_and_says_why_it_is_short() -> None:
    endpoint: dict[str, Any] = {
        "name": "chat", "state": "ready", "model": "m", "job": "chat", "url": "/v1",
        "num_replicas": 2, "message": "1 of 2 replicas are ready",
        "replicas": [{"ready": True, "chip_type": "cpu"}], "created_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    cells = {it.title: it.cell(endpoint, NOW) for it in ENDPOINTS}
    assert (cells["READY"], cells["WHY"]) == ("1/2", "1 of 2 replicas are ready")
    whole = {**endpoint, "num_replicas": 1}
    cells = {it.title: it.cell(whole, NOW) for it in ENDPOINTS}
    assert (cells["READY"], cells["WHY"]) == ("1/1", None)


def test_an_emulated_chip_says_that_it_is_emulated() -> None:
    chip = {
        "id": "chip_1", "node": "a", "type": "emulated-a100", "index": 0, "emulated": True,
        "memory_bytes": 2**31, "health": "healthy", "free_milli": 250, "held_by": ["x", "y"],
    }  # fmt: skip
    _, row = table([chip], CHIPS, now=NOW).splitlines()
    assert row.split() == [
        "chip_1",
        "a",
        "emulated-a100",
        "0",
        "emulated",
        "2GiB",
        "healthy",
        "25%",
        "x,y",
    ]


def test_details_indent_what_is_nested_and_leave_out_what_is_empty() -> None:
    document = {
        "name": "tiny", "message": None, "mix": False, "labels": {}, "spec": {"chip": ["a", "b"]},
        "chips": [{"type": "cpu", "milli": 1000}],
    }  # fmt: skip
    assert details(document).splitlines() == [
        "name:  tiny",
        "mix:   no",
        "spec:",
        "  chip: a, b",
        "chips:",
        "  - type:  cpu",
        "    milli: 1000",
    ]
