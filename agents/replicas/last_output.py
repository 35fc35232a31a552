"""What an ended replica's record says beyond its supervisor's: the workload's own word, or else the
last line of its output.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from agents.replicas.states import Held
from agents.runtimes.base import Runtime
from penstock.api.assignments import ExitRecord
from penstock.api.states import ExitReason

TAIL_BYTES: Final = 4096
LEAST_HIDDEN: Final = 6
"""Characters of a value that is hidden: shorter ones are words like `true` rather than secrets."""


async def with_last_output(record: ExitRecord, held: Held, runtime: Runtime) -> ExitRecord:
    """The record with the length of the log; a replica that failed by itself says why. Values of
    its environment are not quoted: one may be a secret, and messages travel further than logs.
    """
    failure, size = held.failure, runtime.log_size(held.id)
    said = {**record.model_dump(), "log_bytes": size}
    if record.reason is not ExitReason.ERROR:
        pass  # its own words are not why
    elif failure is not None:
        said["failure"] = failure.model_dump()
    else:
        start = max(0, size - TAIL_BYTES)
        line = last_line(await runtime.read_log(held.id, start, size - start))
        said["last_line"] = _hidden(line, (*held.assignment.env.values(), held.token))
    return ExitRecord.model_validate(said)


def last_line(tail: bytes) -> str:
    """The last line with anything on it; of what a progress bar drew over itself, the last."""
    lines = tail.decode(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _hidden(line: str, values: Iterable[str]) -> str:
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= LEAST_HIDDEN:
            line = line.replace(value, "***")
    return line
