"""Watches a job beside its output: why it does not start yet, and how far it has come."""

from __future__ import annotations

import threading
import time
from typing import Final, Self

from penstock.cli.following.progress import progress_line
from penstock.cli.following.watch import Watch, of_jobs
from penstock.cli.session import Session
from penstock.cli.terminal.text import clean
from penstock.client.errors import ClientError
from penstock.client.requests import Document

PATIENCE_S: Final = 2.0
"""A job that waits longer than this is said to wait, and why."""


class Monitor:
    """A thread for the length of a with block; it says little, and only to stderr."""

    def __init__(self, session: Session, job: Document) -> None:
        self._session = session
        self._job = job
        self._watch = Watch(session, of_jobs(job["id"]), patient=True)
        self._told = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        if not self._session.console.quiet:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.close()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        self._session.console.status("")

    def _run(self) -> None:
        began_s = time.monotonic()
        while self._watch.is_open:
            waited_s = time.monotonic() - began_s
            try:
                if self._watch.wait(max(0.0, PATIENCE_S - waited_s) or None):
                    self._job = self._session.api().jobs.get(self._job["id"])
            except ClientError:
                continue  # the log stream is the one that gives up
            if self._watch.is_open:
                self._show(is_late=time.monotonic() - began_s >= PATIENCE_S)

    def _show(self, *, is_late: bool) -> None:
        console, job = self._session.console, self._job
        if job["state"] != "queued":
            console.status(progress_line(job.get("progress"), console.columns_of_stderr))
        elif is_late and job["message"] != self._told:
            self._told = job["message"]
            console.note(f"{job['name']} is queued: {clean(job['message'])}")
