"""A watched list off a terminal is printed again when something changed but the time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from penstock.cli.following.watch import Watch
from penstock.cli.options import Format
from penstock.cli.output.columns import JOBS
from penstock.cli.output.show import show_list
from penstock.cli.terminal.console import Console

JOB: dict[str, Any] = {
    "id": "job_1", "name": "tiny", "state": "running", "type": "task", "queue": "default",
    "created_at": "2026-01-01T00:00:00Z",
}  # fmt: skip


class _Always:
    """A watch to which something has changed at each look."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def wait(self, _timeout_s: float | None = None) -> bool:
        return True


class _Enough(Exception):
    """The watching has gone on for long enough."""


@pytest.mark.parametrize("form", [Format.TABLE, Format.JSON])
def test_time_alone_is_no_change(
    form: Format, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def polls() -> Iterator[dict[str, Any]]:
        for seconds in range(100, 105):
            yield {**JOB, "ran_s": float(seconds), "waited_s": seconds}
        yield {**JOB, "state": "succeeded", "ran_s": 106.0}

    answers = polls()

    def fetch() -> list[dict[str, Any]]:
        for answer in answers:
            return [answer]
        raise _Enough

    with pytest.raises(_Enough):
        show_list(Console(color=False), fetch, JOBS, form, watch=cast(Watch, _Always()))
    shown = capsys.readouterr().out
    assert (shown.count("running"), shown.count("succeeded")) == (1, 1)
