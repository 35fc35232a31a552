"""Watches a job beside its output: why it does not start yet, and how far it has come."""

from __future__ import annotations

import threading
from typing import Final, Self

from penstock.cli.following.progress import progress_line
from penstock.cli.session import Session
from penstock.cli.terminal.text import clean
from penstock.client.errors import ClientError
from penstock.client.requests import Document

POLL_S: Final = 0.5
PATIENT_POLLS: Final = 4
"""A job that waits longer than this is said to wait, and why."""


class Monitor:
    """A thread for the length of a with block; it says little, and only to stderr."""

    def __init__(self, session: Session, job: Document) -> None:
        self._session = session
        self._job_id = str(job["id"])
        self._stop = threading.Event()
        self._told = ""
        self._num_polls = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        if not self._session.console.quiet:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        self._session.console.status("")

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            try:
                job = self._session.api().jobs.get(self._job_id)
            except ClientError:
                continue  # the log stream is the one that gives up
            self._num_polls += 1
            self._show(job)

    def _show(self, job: Document) -> None:
        console = self._session.console
        if job["state"] == "queued":
            if self._num_polls >= PATIENT_POLLS and job["message"] != self._told:
                self._told = job["message"]
                console.note(f"{job['name']} is queued: {clean(job['message'])}")
        elif not self._stop.is_set():
            console.status(progress_line(job.get("progress"), console.columns_of_stderr))
