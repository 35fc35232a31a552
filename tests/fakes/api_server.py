"""A minimal real HTTP server that speaks the API's types; for tests of clients.

It has authentication, pages, idempotency keys, problem documents and event streams that can be
cut, and nothing behind them: see `api_state`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ValidationError

from penstock.api.errors import Problem
from penstock.api.jobs import Job
from penstock.api.nodes import JoinToken
from penstock.api.plans import Explanation, PlanAnswer
from penstock.api.specs import JobSpec
from penstock.api.states import JobState, NodeIntent, Role
from penstock.api.tokens import Identity, NewToken, Project
from penstock.documents.violations import violations_of
from tests.fakes import api_state
from tests.fakes.api_state import MEMBER_TOKEN, SINCE, TOKEN, FakeState

_INTENTS = {
    "cordon": NodeIntent.CORDONED,
    "uncordon": NodeIntent.SCHEDULABLE,
    "drain": NodeIntent.DRAINING,
    "retire": NodeIntent.RETIRED,
}
ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class FakeServer:
    """The server as a thread; `stop` and `start` again on the same port is a restart."""

    def __init__(self, state: FakeState | None = None) -> None:
        self.state = state or FakeState()
        self.port = 0
        self._http: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        handler = type("Handler", (_Handler,), {"state": self.state})
        self._http = _Server(("127.0.0.1", self.port), handler)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None


@contextmanager
def running_server(state: FakeState | None = None) -> Iterator[FakeServer]:
    """A fake server for the length of a with block."""
    server = FakeServer(state)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Refused(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: ClassVar[FakeState]

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.state.requests.append((self.command, self.path, dict(self.headers)))
        if self.state.faults.busy:
            self.state.faults.busy -= 1
            self._send(503, _problem(503, "unavailable", "busy for a moment"), retry_after="0")
            return
        try:
            self._route(parts.path, json.loads(body) if body else None)
        except _Refused as refused:
            self._send(refused.problem.status, refused.problem)

    def _route(self, path: str, body: Any) -> None:
        if path in ("/healthz", "/readyz"):
            parts = {
                name: {"ok": False, "message": what}
                for name, what in self.state.faults.unwell.items()
            }
            return self._send(200, {"status": "ok", "version": "0.1.0", "parts": parts})
        role = self._authenticate()
        match path.removeprefix("/api/v1/").split("/"):
            case ["whoami"]:
                self._send(200, Identity(name="root", role=role, project=None))
            case ["jobs", *rest]:
                self._jobs(rest, body)
            case ["plan"]:
                spec = self._spec(body)
                fits = spec.resources.chips.least <= 2
                told = "fits now" if fits else f"needs {spec.resources.chips.least} chips, 2 exist"
                self._send(200, PlanAnswer(fits=fits, sentence=told))
            case ["tokens" | "join-tokens" | "projects", *rest]:
                self._accounts(path.split("/")[3], rest, body, role)
            case rest:
                self._pool(rest, body)
        return None

    def _jobs(self, rest: Sequence[str], body: Any) -> None:
        if not rest:
            return self._submit(body) if self.command == "POST" else self._list_jobs()
        job = self._job(rest[0])
        match rest[1:]:
            case []:
                self._send(200, job)
            case ["cancel"]:
                ended = job.state in ENDED
                self._send(200, job if ended else self.state.end(job, JobState.CANCELLED, 143))
            case ["retry"]:
                again = self.state.submit(job.spec.model_copy(update={"name": None}))
                self._send(201, again.model_copy(update={"retry_of": job.id}))
            case ["explain"]:
                self._send(200, _explanation(job))
            case ["replicas"]:
                self._page(self.state.replicas(job))
            case ["checkpoints"]:
                self._page([])
            case ["events"]:
                self._events(job)
            case ["logs"]:
                self._logs(job)
            case _:
                raise _Refused(_problem(404, "not_found", f"there is no path {self.path}"))
        return None

    def _submit(self, body: Any) -> None:
        key = self.headers.get("Idempotency-Key", "")
        known = self.state.keys.get(key)
        if known is None:
            spec = self._spec(body)
            if spec.name and (live := self.state.find(spec.name)) and live.state not in ENDED:
                raise _Refused(_problem(409, "job_name_taken", f"{spec.name} is taken"))
            known = (self.state.submit(spec).id, body)
            self.state.keys[key] = known
        elif known[1] != body:
            raise _Refused(_problem(409, "idempotency_key_reused", "the key had another body"))
        self._send(201, self.state.jobs[known[0]])

    def _list_jobs(self) -> None:
        wanted = self.query.get("state")
        jobs = [job for job in self.state.jobs.values() if wanted in (None, job.state)]
        self._page(list(reversed(jobs)))

    def _logs(self, job: Job) -> None:
        rank = self.query.get("rank")
        if "text/event-stream" in self.headers.get("Accept", ""):
            return self._stream(job, rank)
        lines = [it for it in self.state.lines[job.id] if rank in (None, str(it.rank))]
        tail = int(self.query.get("tail", len(lines)))
        text = "".join(line.text + "\n" for line in lines[len(lines) - min(tail, len(lines)) :])
        cuts = self.state.faults.cut_texts_after
        room = cuts.pop(0) if cuts else None
        return self._send_bytes(200, text.encode(), "text/plain; charset=utf-8", room=room)

    def _events(self, job: Job) -> None:
        if "text/event-stream" not in self.headers.get("Accept", ""):
            return self._page(self.state.events(job))
        after = int(self.headers.get("Last-Event-ID") or 0)
        self._begin_stream()
        for event in self.state.events(job)[after:]:
            self.wfile.write(_sse(str(event.seq), event.model_dump_json()))
        self.wfile.write(b"event: end\ndata: {}\n\n")
        return None

    def _stream(self, job: Job, rank: str | None) -> None:
        """Lines after Last-Event-ID; the id is the number of the line."""
        position = int(self.headers.get("Last-Event-ID") or 0)
        cuts = self.state.faults.cut_streams_after
        room = cuts.pop(0) if cuts else None
        self._begin_stream()
        while True:
            lines = self.state.lines[job.id]
            while position < len(lines):
                line = lines[position]
                position += 1
                event = _sse(str(position), line.model_dump_json())
                if room == 0:
                    self.wfile.write(event[: len(event) // 2])
                    return
                if rank in (None, str(line.rank)):
                    self.wfile.write(event)
                    room = None if room is None else room - 1
            if self.state.jobs[job.id].state in ENDED:
                self.wfile.write(b"event: end\ndata: {}\n\n")
                return
            time.sleep(0.01)

    def _begin_stream(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b": hello\n\n")

    def _accounts(self, noun: str, rest: Sequence[str], body: Any, role: Role) -> None:
        if role != Role.ADMIN:
            raise _Refused(_problem(403, "denied", "only an administrator may do this"))
        if noun == "join-tokens":
            told = body.get("server", "http://127.0.0.1:8470")
            made = JoinToken(
                token="jt_fake", expires_at=SINCE, note="reached from here only",
                command=f"penstock --server {told} node join --token jt_fake",
            )  # fmt: skip
            return self._send(201, made)
        if noun == "projects" and self.command == "POST":
            return self._send(
                201, Project(id=f"project_{2:032x}", name=body["name"], created_at=SINCE)
            )
        if noun == "projects":
            return self._page([Project(id=f"project_{1:032x}", name="default", created_at=SINCE)])
        if self.command == "DELETE":
            self.state.tokens = [it for it in self.state.tokens if it["id"] != rest[0]]
            return self._send_bytes(204, b"", "application/json")
        if self.command == "POST":
            number = len(self.state.tokens) + 1
            made_token = NewToken(
                id=f"token_{number:032x}", name=body["name"], role=body.get("role", "member"),
                project=body.get("project"), created_at=SINCE, secret="pst_shown-once",
            )  # fmt: skip
            self.state.tokens.append(made_token.model_dump(mode="json", exclude={"secret"}))
            return self._send(201, made_token)
        return self._page(self.state.tokens)

    def _pool(self, rest: Sequence[str], body: Any) -> None:
        match rest:
            case ["nodes"]:
                self._page([api_state.a_node(self.state.intent)])
            case ["nodes", "node-a", *verb]:
                if verb:
                    self.state.intent = _INTENTS[verb[0]]
                self._send(200, api_state.a_node(self.state.intent))
            case ["chips"]:
                self._page(api_state.some_chips())
            case ["chips", chip_id] if chip_id == api_state.some_chips()[0].id:
                self._send(200, api_state.some_chips()[0])
            case ["chip-types"]:
                self._page(api_state.some_types())
            case ["queues", *one]:
                queue = api_state.a_queue().model_copy(update=body or {})
                self._send(200, queue) if one else self._page([queue])
            case ["endpoints"]:
                self._page([api_state.an_endpoint()])
            case ["replicas" | "events" | "cycles"]:
                self._page([])
            case _:
                raise _Refused(_problem(404, "not_found", f"there is no {'/'.join(rest)}"))

    def _authenticate(self) -> Role:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given not in (TOKEN, MEMBER_TOKEN):
            raise _Refused(_problem(401, "unauthenticated", "a valid token is needed"))
        return Role.ADMIN if given == TOKEN else Role.MEMBER

    def _spec(self, body: Any) -> JobSpec:
        try:
            return JobSpec.model_validate(body)
        except ValidationError as error:
            found = violations_of(error, JobSpec, body)
            problem = _problem(422, "invalid", "the job spec is not valid")
            raise _Refused(problem.model_copy(update={"errors": found})) from error

    def _job(self, ref: str) -> Job:
        job = self.state.find(ref)
        if job is None:
            raise _Refused(_problem(404, "job_not_found", f"there is no job `{ref}`"))
        return job

    def _page(self, items: Sequence[BaseModel | dict[str, Any]]) -> None:
        start = int(self.query.get("cursor", 0))
        limit = int(self.query.get("limit", 100))
        if not 1 <= limit <= 500:
            raise _Refused(_problem(422, "invalid", "limit must be 1..500"))
        shown = [_plain(item) for item in items[start : start + limit]]
        more = str(start + limit) if start + limit < len(items) else None
        self._send(200, {"items": shown, "next": more})

    def _send(self, status: int, document: Any, retry_after: str | None = None) -> None:
        kind = "application/problem+json" if status >= 400 else "application/json"
        content = json.dumps(_plain(document)).encode()
        self._send_bytes(status, content, kind, retry_after)

    def _send_bytes(
        self,
        status: int,
        content: bytes,
        kind: str,
        retry_after: str | None = None,
        room: int | None = None,
    ) -> None:
        if self.state.faults.lose_answers:
            self.state.faults.lose_answers -= 1
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(content[:room])
        self.close_connection |= room is not None


def _plain(document: Any) -> Any:
    return document.model_dump(mode="json") if isinstance(document, BaseModel) else document


def _sse(event_id: str, data: str) -> bytes:
    return f"id: {event_id}\ndata: {data}\n\n".encode()


def _explanation(job: Job) -> Explanation:
    return Explanation(
        job=job.name, state=job.state, code="busy", sentence=f"{job.name} waits for 4 chips",
        unblock=["wait for tiny-coder to end"], queue_position=1, as_of=SINCE,
    )  # fmt: skip


def _problem(status: int, code: str, detail: str) -> Problem:
    return Problem(
        type=f"urn:penstock:{code}", title=code.replace("_", " "), status=status, detail=detail,
        instance="/", code=code, request_id="req-1", hint="see the guide",
    )  # fmt: skip
