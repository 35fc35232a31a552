"""Hands in small jobs all the time, as a careful client does, and keeps a journal."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx

from tests.storm.cloud import COMMON_CHIP, OWN_CHIP, Cloud
from tests.storm.evidence import SECOND_NS

TTL_S: Final = 30.0
"""The shortest lease that a job may ask for."""
MOST_OPEN: Final = 10
ANSWER_S: Final = 6.0
PAUSE_S: Final = (0.3, 1.5)
REPEATED: Final = 0.2
LENGTHS_S: Final = (0.2, 1.0, 4.0, 10.0, 25.0, 60.0)


@dataclass(slots=True)
class Accepted:
    """One job that a server said yes to. `cancel_at`: when the client ends it, if it does."""

    key: str
    job: str
    cancel_at: float | None


@dataclass(frozen=True, slots=True)
class Try:
    """One request to one server: on the boot clock from when to when, and what came of it."""

    server: str
    since_ns: int
    until_ns: int
    status: int


class Submitter:
    """A thread. `open_jobs` says how many accepted jobs have not ended."""

    def __init__(self, cloud: Cloud, seed: int, folder: Path, open_jobs: Callable[[], int]) -> None:
        self.accepted: list[Accepted] = []
        self.tries: list[Try] = []
        self.refusals: list[str] = []
        self._cloud = cloud
        self._random = Random(f"{seed}:jobs")
        self._seed = seed
        self._open_jobs = open_jobs
        self._journal = folder / "accepted.jsonl"
        self._number = 0
        self._pausing, self._ending = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._http = httpx.Client(timeout=ANSWER_S, trust_env=False)
        self._headers = {"Authorization": f"Bearer {cloud.token}"}
        self._thread = threading.Thread(target=self._run, name="submitter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def pause(self) -> None:
        """No new jobs; cancels go on."""
        self._pausing.set()

    def go_on(self) -> None:
        self._pausing.clear()

    def close(self) -> None:
        self._ending.set()
        self._thread.join(2 * ANSWER_S)
        self._http.close()

    def submit_on(self, node: str, manner: str, seconds: float, cancel_after_s: float) -> None:
        """A job that can run on that node only; in a thread of its own, until it is answered."""
        wish = {"chips": 1, "chip": OWN_CHIP[node]}
        job = self._spec(manner, seconds, wish)
        threading.Thread(
            target=self._submit, args=(job, time.monotonic() + cancel_after_s), daemon=True
        ).start()

    def _run(self) -> None:
        while not self._ending.wait(self._random.uniform(*PAUSE_S)):
            self._cancel_due()
            if not self._pausing.is_set() and self._open_jobs() < MOST_OPEN:
                self._submit(*self._next_job())

    def _next_job(self) -> tuple[dict[str, Any], float | None]:
        random = self._random
        manner = "stubborn" if random.random() < 0.15 else "plain"
        wish: dict[str, Any] = {"chips": 1, "chip": COMMON_CHIP}
        if random.random() < 0.2:
            wish = {"share": 0.5, "chip": COMMON_CHIP}
        job = self._spec(manner, random.choice(LENGTHS_S), wish)
        if random.random() < 0.15:
            job["task"]["replicas"] = 2
        if random.random() < 0.1:
            job["max_duration"] = "5s"
        is_cancelled = random.random() < 0.15
        return job, time.monotonic() + random.uniform(0.5, 8.0) if is_cancelled else None

    def _spec(self, manner: str, seconds: float, wish: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self._number += 1
            name = f"storm-{self._seed}-{self._number}"
        folder = self._cloud.folder
        command = [
            sys.executable,
            "-I",
            "-S",
            str(folder / "beat.py"),
            str(folder / "evidence"),
            str(seconds),
            manner,
        ]
        return {
            "type": "task", "name": name, "task": {"command": command}, "resources": wish,
            "disconnect_grace": f"{TTL_S:g}s",
        }  # fmt: skip

    def _submit(self, spec: dict[str, Any], cancel_at: float | None) -> None:
        """The same key again, at one server after the other, until one of them says yes or no."""
        key, servers = f"key-{spec['name']}", list(self._cloud.ports)
        while not self._ending.is_set():
            servers.append(servers.pop(0) if self._random.random() < 0.5 else servers.pop())
            for server in servers:
                reply = self._post(server, "/api/v1/jobs", spec, {"Idempotency-Key": key})
                if reply is not None and reply.status_code in (200, 201):
                    self._note(Accepted(key, reply.json()["id"], cancel_at))
                    self._repeat(server, spec, key, reply.json()["id"])
                    return
                if reply is not None and _is_refusal(reply.status_code):
                    self.refusals.append(f"{key}: {reply.status_code} {reply.text[:300]}")
                    return
            time.sleep(0.3)

    def _repeat(self, server: str, spec: dict[str, Any], key: str, job: str) -> None:
        """Now and then once more, as a client does that has lost the answer."""
        if self._random.random() < REPEATED:
            again = self._post(server, "/api/v1/jobs", spec, {"Idempotency-Key": key})
            if again is not None and again.status_code < 300 and again.json()["id"] != job:
                self.refusals.append(f"doubled: {key} is {job} and {again.json()['id']}")

    def _note(self, accepted: Accepted) -> None:
        self.accepted.append(accepted)
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": accepted.key, "job": accepted.job}) + "\n")

    def _cancel_due(self) -> None:
        for one in self.accepted:
            if one.cancel_at is not None and one.cancel_at < time.monotonic():
                for server in self._cloud.ports:
                    reply = self._post(server, f"/api/v1/jobs/{one.job}/cancel", {}, {})
                    if reply is not None and reply.status_code < 500:
                        one.cancel_at = None
                        break

    def _post(
        self, server: str, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> httpx.Response | None:
        since_ns, status = time.clock_gettime_ns(time.CLOCK_BOOTTIME), 0
        url = f"http://127.0.0.1:{self._cloud.ports[server]}{path}"
        try:
            reply = self._http.post(url, json=body, headers={**self._headers, **headers})
            status = reply.status_code
            return reply
        except httpx.HTTPError:
            return None
        finally:
            until_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self.tries.append(Try(server, since_ns, until_ns, status))


def _is_refusal(status: int) -> bool:
    return 400 <= status < 500 and status != 429


def unanswered(
    tries: list[Try], disturbed: list[tuple[str, int, int]], servers: tuple[str, ...], most_s: float
) -> list[str]:
    """Servers that gave no usable answer for longer than `most_s` though nothing was wrong with
    them. `disturbed`: (server, from, to) with room for coming back.
    """
    found = []
    for server in servers:
        failing_ns: int | None = None
        for one in sorted((it for it in tries if it.server == server), key=lambda it: it.since_ns):
            is_disturbed = any(
                name == server and since < one.until_ns and one.since_ns < until
                for name, since, until in disturbed
            )
            if is_disturbed or 0 < one.status < 500:
                failing_ns = None
                continue
            failing_ns = one.since_ns if failing_ns is None else failing_ns
            if one.until_ns - failing_ns > most_s * SECOND_NS:
                silent_s = (one.until_ns - failing_ns) / SECOND_NS
                found.append(
                    f"unanswered: server {server} was well and silent for {silent_s:.0f} s"
                )
                break
    return found
