"""Stays with a job: prints its output as it comes, and waits for its end."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Sequence
from typing import Final

from penstock.api.states import ENDED
from penstock.cli.failures import ExitCode
from penstock.cli.following.monitor import Monitor
from penstock.cli.following.watch import Watch, of_jobs
from penstock.cli.session import Session
from penstock.cli.terminal.console import Console
from penstock.cli.terminal.text import clean
from penstock.client.errors import ConnectionFailed, WaitTimeout
from penstock.client.requests import Document

ASK_AGAIN_S: Final = 1.0

_REDRAWN: Final = re.compile(rb"\r(?!\r|\Z)")  # the line goes on from its start


def follow(session: Session, job: Document, *, exit_status: bool) -> int:
    """Prints the job's output until it has ended; returns the exit status."""
    try:
        with Monitor(session, job):
            print_stream(session, job)
        return wait_for_end(session, [job], exit_status=exit_status)
    except KeyboardInterrupt:
        session.console.note(f"\n{job['name']} goes on: penstock job logs -f {job['name']}")
        raise


def print_stream(session: Session, job: Document, **part: int | None) -> None:
    """Prints lines as they come until the job has ended; with several replicas behind ranks.

    `part` is as for the client's `follow_logs`.
    """
    layout = Layout(prefixed=part.get("rank") is None and num_replicas(job) > 1)
    try:
        for line in session.api().jobs.follow_logs(job["id"], last_id=None, **part):
            session.console.output(layout.piece(line))
        session.console.output(layout.end())
    finally:
        session.console.end_output()


class Layout:
    """Puts what several replicas say one below the other, never two on one line."""

    def __init__(self, *, prefixed: bool) -> None:
        self._prefixed = prefixed
        self._open: tuple[int, int, int] | None = None
        """The replica whose line has not ended yet."""
        self._returned = False
        """That line will go on from its start."""

    def piece(self, line: Document) -> bytes:
        """A line, or a piece of one, behind the number of its replica if wanted. A line that draws
        over itself gets it anew.
        """
        replica = (line.get("gang", 0), line.get("attempt", 0), line["rank"])
        goes_on, self._open = self._open, replica if line.get("partial") else None
        begins = replica != goes_on
        start = b"\n" if begins and goes_on is not None else b""
        prefix = _prefix(line).encode() if self._prefixed else b""
        data = _REDRAWN.sub(b"\r" + prefix, _bytes(line))
        if begins or (self._returned and not data.startswith(b"\r")):
            data = prefix + data
        self._returned = data.endswith(b"\r")
        return start + data + (b"" if line.get("partial") else b"\n")

    def end(self) -> bytes:
        """What one replica wrote stays as it is; what is laid out ends with a line end."""
        return b"\n" if self._prefixed and self._open is not None else b""


def _prefix(line: Document) -> str:
    """The rank, with the number of the attempt before it from the second on."""
    number, attempt = line.get("gang") or line["rank"], line.get("attempt", 0)
    return f"[{attempt}.{number}] " if attempt > 1 else f"[{number}] "


def _bytes(line: Document) -> bytes:
    raw = line.get("raw")
    return base64.b64decode(raw) if raw is not None else str(line["text"]).encode()


def num_replicas(job: Document) -> int:
    """From how many replicas the job's output can come."""
    spec = job["spec"]
    if job["type"] == "train":
        return max(1, int(spec["resources"]["chips"]["most"]))
    return int((spec.get(job["type"]) or {}).get("replicas") or 1)


def wait_for_end(
    session: Session, jobs: Sequence[Document], *, exit_status: bool, timeout_s: float | None = None
) -> int:
    """Waits until all have ended and says how; the exit status is that of the first that failed.

    Raises WaitTimeout.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    codes = []
    with Watch(session, of_jobs(*(job["id"] for job in jobs))) as watch:
        for job in jobs:
            ended = _wait(session, job, watch, deadline)
            _tell_end(session.console, ended)
            codes.append(_status(ended, exit_status))
    return next((code for code in codes if code), ExitCode.DONE)


def _wait(session: Session, job: Document, watch: Watch, deadline: float | None) -> Document:
    """A server that restarts is waited for, as long as the feed waits for it."""
    while True:
        pause_s = None
        try:
            job = session.api().jobs.get(job["id"])
        except ConnectionFailed:
            pause_s = ASK_AGAIN_S
        if job["state"] in ENDED:
            return job
        if deadline is not None:
            pause_s = deadline - time.monotonic()
            if pause_s <= 0:
                raise WaitTimeout(f"{job['name']} is still {job['state']}: {job['message']}")
        watch.wait(pause_s)


def _tell_end(console: Console, job: Document) -> None:
    if job["state"] != "succeeded":
        console.note(f"{job['name']} {job['state']}: {clean(job['message'])}")
    elif not console.quiet and console.err_is_terminal:
        console.note(f"{job['name']} succeeded")


def _status(job: Document, exit_status: bool) -> int:
    code = job.get("exit_code")
    if exit_status and isinstance(code, int):
        return code & 0xFF if code else (ExitCode.DONE if _good(job) else ExitCode.FAILED)
    return ExitCode.DONE if _good(job) else ExitCode.FAILED


def _good(job: Document) -> bool:
    return bool(job["state"] == "succeeded")
