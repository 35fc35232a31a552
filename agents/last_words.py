"""What an ended replica's record says beyond its supervisor's: the workload's own word, or else the
last line of its output.
"""

from __future__ import annotations

from typing import Final

from agents.runtimes.base import Runtime
from penstock.api.assignments import ExitRecord, Failure
from penstock.api.states import ExitReason

TAIL_BYTES: Final = 4096


def with_last_words(
    record: ExitRecord, failure: Failure | None, runtime: Runtime, replica_id: str
) -> ExitRecord:
    """The record with the length of the log; a replica that failed by itself says why."""
    size = runtime.log_size(replica_id)
    said = {**record.model_dump(), "log_bytes": size}
    if record.reason is not ExitReason.ERROR:
        pass  # its own words are not why
    elif failure is not None:
        said["failure"] = failure.model_dump()
    else:
        start = max(0, size - TAIL_BYTES)
        said["last_line"] = last_line(runtime.read_log(replica_id, start, size - start))
    return ExitRecord.model_validate(said)


def last_line(tail: bytes) -> str:
    """The last line with anything on it; of what a progress bar drew over itself, the last."""
    lines = tail.decode(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
