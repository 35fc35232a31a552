"""Clients that hand in jobs all the time at two servers and keep book of every answer.

Each job has a key of its own. Who gets no answer in time leaves the request open and repeats it
at the other server under the same key, as a careful client does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import httpx

from control_plane.deadlines import ANSWER_S

PATIENCE_S: Final = ANSWER_S + 1.0
"""A client waits for longer than the server may take, and measures."""
LONGEST_S: Final = 90.0
"""What is left open is answered once the frozen server goes on."""
CLIENTS: Final = 12
"""Of each server."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request. A status of 0 is a connection that broke."""

    server: str
    key: str
    sent_s: float
    took_s: float
    status: int
    says_when: bool
    job: str | None


@dataclass(slots=True)
class Load:
    """`urls` by the servers' names. `answers` are in time, `late` those that were left open."""

    urls: dict[str, str]
    token: str
    answers: list[Answer] = field(default_factory=list)
    jobs: dict[str, set[str]] = field(default_factory=dict)
    open: list[tuple[str, Future[Answer]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)
    _ending: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Until the block ends; then every request that was left open has been answered."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        with (
            httpx.Client(timeout=LONGEST_S, limits=limits, trust_env=False) as http,
            ThreadPoolExecutor(256) as requests,
            ThreadPoolExecutor(2 * CLIENTS) as clients,
        ):
            running = [
                clients.submit(self._run, http, requests, server)
                for server in self.urls
                for _ in range(CLIENTS)
            ]
            try:
                yield
            finally:
                self._ending.set()
                for one in running:
                    one.result(LONGEST_S)

    def late(self) -> list[Answer]:
        """What those came to that were left open."""
        return [request.result(LONGEST_S) for _, request in self.open]

    def of(self, server: str, since_s: float) -> Sequence[Answer]:
        """A server's answers to what was under way at that moment, or came later."""
        answers = [it for it in list(self.answers) if it.server == server]
        return [it for it in answers if it.sent_s + it.took_s >= since_s]

    def _run(self, http: httpx.Client, requests: ThreadPoolExecutor, home: str) -> None:
        """One job after the other, each until it is accepted; at home first."""
        away = next(name for name in self.urls if name != home)
        while not self._ending.is_set():
            key, server = f"{home}-{next(self._numbers)}", home
            while not self._is_accepted(http, requests, server, key):
                server = away if server == home else home
                time.sleep(0.05)

    def _is_accepted(
        self, http: httpx.Client, requests: ThreadPoolExecutor, server: str, key: str
    ) -> bool:
        request = requests.submit(self._post, http, server, key)
        try:
            answer = request.result(PATIENCE_S)
        except TimeoutError:
            with self._lock:
                self.open.append((server, request))
            return False
        self.answers.append(answer)
        return answer.job is not None

    def _post(self, http: httpx.Client, server: str, key: str) -> Answer:
        spec = {"type": "task", "task": {"command": ["true", key]}, "resources": {"chips": 64}}
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": key}
        sent_s, reply = time.monotonic(), None
        with suppress(httpx.TransportError):
            reply = http.post(f"{self.urls[server]}/api/v1/jobs", json=spec, headers=headers)
        took_s = time.monotonic() - sent_s
        status = 0 if reply is None else reply.status_code
        says_when = reply is not None and "Retry-After" in reply.headers
        job = reply.json()["id"] if reply is not None and status in (200, 201) else None
        if job is not None:
            with self._lock:
                self.jobs.setdefault(key, set()).add(job)
        return Answer(server, key, sent_s, took_s, status, says_when, job)
