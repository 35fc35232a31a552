"""Jobs in the typed asynchronous client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from penstock.api.jobs import Checkpoint, Event, Job, LogLine, Replica
from penstock.api.plans import Explanation
from penstock.api.specs import JobSpec
from penstock.client import routes
from penstock.client.async_http import AsyncHttp
from penstock.client.errors import WaitTimeout
from penstock.client.parsing import body, has_ended, parse, parse_event


class AsyncJobs:
    """Jobs, by id or name."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def submit(
        self, spec: JobSpec | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Job:
        """Hands in a job. Without a key one is made, so that a lost answer is asked for again."""
        return parse(Job, await self._http.send(routes.submit_job(body(spec), idempotency_key)))

    async def list(self, **filters: Any) -> AsyncIterator[Job]:
        """Jobs by `state`, `type`, `queue`, `project`, `label`, `chip_vendor`; `sort`, `limit`.

        `limit` is the size of a page; all pages are walked.
        """
        async for item in self._http.items(routes.read("jobs", params=filters)):
            yield Job.model_validate(item)

    async def get(self, ref: str) -> Job:
        return parse(Job, await self._http.send(routes.read("jobs", ref)))

    async def cancel(self, ref: str, *, because: str | None = None) -> Job:
        """Ends a job; `because` goes into its message."""
        return parse(Job, await self._http.send(routes.cancel_job(ref, because)))

    async def retry(self, ref: str, *, idempotency_key: str | None = None) -> Job:
        """A new job like this one, linked by `retry_of`."""
        return parse(Job, await self._http.send(routes.retry_job(ref, idempotency_key)))

    async def explain(self, ref: str) -> Explanation:
        return parse(Explanation, await self._http.send(routes.read("jobs", ref, "explain")))

    async def replicas(self, ref: str) -> AsyncIterator[Replica]:
        async for item in self._http.items(routes.read("jobs", ref, "replicas")):
            yield Replica.model_validate(item)

    async def checkpoints(self, ref: str) -> AsyncIterator[Checkpoint]:
        async for item in self._http.items(routes.read("jobs", ref, "checkpoints")):
            yield Checkpoint.model_validate(item)

    async def events(self, ref: str) -> AsyncIterator[Event]:
        """What has happened to the job so far."""
        async for item in self._http.items(routes.read("jobs", ref, "events")):
            yield Event.model_validate(item)

    async def follow_events(self, ref: str, last_id: str | None = None) -> AsyncIterator[Event]:
        """What happens to the job, until it has ended."""
        async for event in self._http.events(routes.event_stream(ref), last_id):
            yield parse_event(Event, event)

    async def log_text(self, ref: str, **part: int | None) -> str:
        """Output so far as text, all of it in memory; `part` is as for `download_logs`."""
        blocks = [block async for block in self.download_logs(ref, **part)]
        return b"".join(blocks).decode("utf-8", "replace")

    def download_logs(self, ref: str, **part: int | None) -> AsyncIterator[bytes]:
        """Output so far in blocks, byte by byte as one replica wrote it; with several, each line
        is behind the rank. What an ended job's nodes still send is waited for.

        `part` may be `tail` or `head` (lines of each replica), `offset` (bytes), `rank`, `attempt`.
        """
        return self._http.download(routes.job_log_text(ref, **part))

    async def follow_logs(
        self, ref: str, *, rank: int | None = None, last_id: str | None = None
    ) -> AsyncIterator[LogLine]:
        """Output from the start (or after `last_id`) until the job has ended."""
        async for event in self._http.events(routes.job_log_stream(ref, rank=rank), last_id):
            yield parse_event(LogLine, event)

    async def wait(self, ref: str, timeout_s: float | None = None, *, poll_s: float = 0.2) -> Job:
        """The job once it has ended. Raises WaitTimeout."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        job = await self.get(ref)
        while not has_ended(job):
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(f"job {ref} is {job.state} after {timeout_s:g} s")
            await asyncio.sleep(poll_s)
            job = await self.get(job.id)
        return job
