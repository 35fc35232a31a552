"""Jobs in the typed synchronous client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from penstock.api.jobs import Checkpoint, Event, Job, LogLine, Replica
from penstock.api.plans import Explanation
from penstock.api.specs import JobSpec
from penstock.client import routes
from penstock.client.errors import WaitTimeout
from penstock.client.http import Http
from penstock.client.parsing import body, has_ended, parse, parse_event


class Jobs:
    """Jobs, by id or name."""

    def __init__(self, http: Http, sleep: Callable[[float], None]) -> None:
        self._http = http
        self._sleep = sleep

    def submit(
        self, spec: JobSpec | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Job:
        """Hands in a job. Without a key one is made, so that a lost answer is asked for again."""
        return parse(Job, self._http.send(routes.submit_job(body(spec), idempotency_key)))

    def list(self, **filters: Any) -> Iterator[Job]:
        """Jobs by `state`, `type`, `queue`, `project`, `label`, `chip_vendor`; `sort`, `limit`.

        `limit` is the size of a page; all pages are walked.
        """
        for item in self._http.items(routes.read("jobs", params=filters)):
            yield Job.model_validate(item)

    def get(self, ref: str) -> Job:
        return parse(Job, self._http.send(routes.read("jobs", ref)))

    def cancel(self, ref: str, *, because: str | None = None) -> Job:
        """Ends a job; `because` goes into its message."""
        return parse(Job, self._http.send(routes.cancel_job(ref, because)))

    def retry(self, ref: str, *, idempotency_key: str | None = None) -> Job:
        """A new job like this one, linked by `retry_of`."""
        return parse(Job, self._http.send(routes.retry_job(ref, idempotency_key)))

    def explain(self, ref: str) -> Explanation:
        return parse(Explanation, self._http.send(routes.read("jobs", ref, "explain")))

    def replicas(self, ref: str) -> Iterator[Replica]:
        for item in self._http.items(routes.read("jobs", ref, "replicas")):
            yield Replica.model_validate(item)

    def checkpoints(self, ref: str) -> Iterator[Checkpoint]:
        for item in self._http.items(routes.read("jobs", ref, "checkpoints")):
            yield Checkpoint.model_validate(item)

    def events(self, ref: str) -> Iterator[Event]:
        """What has happened to the job so far."""
        for item in self._http.items(routes.read("jobs", ref, "events")):
            yield Event.model_validate(item)

    def follow_events(self, ref: str, last_id: str | None = None) -> Iterator[Event]:
        """What happens to the job, until it has ended."""
        for event in self._http.events(routes.event_stream(ref), last_id):
            yield parse_event(Event, event)

    def log_text(self, ref: str, **part: int | None) -> str:
        """Output so far as text, all of it in memory; `part` is as for `download_logs`."""
        return b"".join(self.download_logs(ref, **part)).decode("utf-8", "replace")

    def download_logs(self, ref: str, **part: int | None) -> Iterator[bytes]:
        """Output so far in blocks, byte by byte as one replica wrote it; with several, each line
        is behind the rank. What an ended job's nodes still send is waited for.

        `part` may be `tail` or `head` (lines of each replica), `offset` (bytes), `rank`, `attempt`.
        """
        return self._http.download(routes.job_log_text(ref, **part))

    def follow_logs(
        self, ref: str, *, rank: int | None = None, last_id: str | None = None
    ) -> Iterator[LogLine]:
        """Output from the start (or after `last_id`) until the job has ended."""
        for event in self._http.events(routes.job_log_stream(ref, rank=rank), last_id):
            yield parse_event(LogLine, event)

    def wait(self, ref: str, timeout_s: float | None = None, *, poll_s: float = 0.2) -> Job:
        """The job once it has ended. Raises WaitTimeout."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        job = self.get(ref)
        while not has_ended(job):
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(f"job {ref} is {job.state} after {timeout_s:g} s")
            self._sleep(poll_s)
            job = self.get(job.id)
        return job
