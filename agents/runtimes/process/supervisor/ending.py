"""Decides why a replica ended, and puts it down as the record that the control plane gets.

Pure: what was seen comes in, the words come out. They are those of `penstock.api.states`, which
a supervisor cannot import.
"""

from __future__ import annotations

import signal

from penstock.json_types import Json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_MESSAGE: Final = 4096
SIGNAL_BASE: Final = 128
_UNITS: Final = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


class Stop:
    """Why the replica was told to end: the reason that is recorded, and a sentence for people."""

    __slots__ = ("message", "reason")

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = message


class Ending:
    """What was seen of the end. `status` is the wait status of the replica's first process."""

    __slots__ = ("memory_limit_bytes", "num_oom_kills", "over_memory", "status", "stop")

    def __init__(
        self,
        status: int,
        stop: Stop | None = None,
        num_oom_kills: int = 0,
        over_memory: bool = False,
        memory_limit_bytes: int | None = None,
    ) -> None:
        self.status = status
        self.stop = stop
        self.num_oom_kills = num_oom_kills
        self.over_memory = over_memory
        self.memory_limit_bytes = memory_limit_bytes


def classify(ending: Ending) -> tuple[str, str]:
    """The exit reason and its sentence."""
    code, number = code_and_signal(ending.status)
    if code != 0 and (ending.num_oom_kills or ending.over_memory):
        return "out_of_memory", _out_of_memory(ending.memory_limit_bytes)
    if ending.stop is not None:
        return ending.stop.reason, ending.stop.message
    if number == signal.SIGKILL:
        return "killed", "SIGKILL ended it, and Penstock did not send it"
    if number is not None:
        return "error", f"{_name(number)} ended it{_meaning(number)}"
    if code != 0:
        return "error", f"exit code {code}"
    if ending.num_oom_kills:
        return "completed", "one of its processes was killed for lack of memory on the way"
    return "completed", ""


def code_and_signal(status: int) -> tuple[int, int | None]:
    """Exit code (128 + signal where a signal ended it) and the signal, of a wait status."""
    number = status & 0x7F
    return (SIGNAL_BASE + number, number) if number else ((status >> 8) & 0xFF, None)


def record(ending: Ending, ended_at: str, usage: Json) -> Json:
    """The exit record. `usage` holds cpu_s, max_memory_bytes and wall_s, null where unknown."""
    code, number = code_and_signal(ending.status)
    reason, message = classify(ending)
    return {
        "code": code, "signal": number, "reason": reason, "message": message[:MAX_MESSAGE],
        "ended_at": ended_at, **usage,
    }  # fmt: skip


def unseen(reason: str, code: int | None, message: str, ended_at: str) -> Json:
    """The record of a replica that did not come to run, or whose end nobody saw."""
    return {
        "code": code, "signal": None, "reason": reason, "message": message[:MAX_MESSAGE],
        "ended_at": ended_at, "cpu_s": None, "max_memory_bytes": None, "wall_s": None,
    }  # fmt: skip


def _out_of_memory(limit_bytes: int | None) -> str:
    limit = f" of {_amount(limit_bytes)}" if limit_bytes else ""
    return f"the replica used more memory than its limit{limit} and was killed"


def _amount(num_bytes: int) -> str:
    unit, size = next((it for it in _UNITS if num_bytes >= it[1]), ("bytes", 1))
    return f"{round(num_bytes / size, 2):g} {unit}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _meaning(number: int) -> str:
    """What the signal is called in words, such as `segmentation fault`."""
    try:
        words = signal.strsignal(number)
    except ValueError:
        return ""
    return f" ({words.lower()})" if words else ""
