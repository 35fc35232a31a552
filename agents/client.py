"""Speaks the agent protocol over HTTP. What to do about an answer, or none, is the caller's."""

from __future__ import annotations

from typing import Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from penstock.api.assignments import (
    INCARNATION_HEADER,
    AssignmentList,
    BeginReply,
    BeginRequest,
    CheckpointCommit,
    CheckpointReply,
    CredentialReply,
    EnrolReply,
    EnrolRequest,
    HeartbeatReply,
    HeartbeatRequest,
    LogReply,
    LogRequest,
    ReportReply,
    ReportRequest,
)
from penstock.api.errors import Problem

BASE: Final = "/api/v1/agent"
TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 3.0
KEEPALIVE_S: Final = 4.0  # below the 5 s after which common servers close an idle connection

WAITING: Final = frozenset({"incarnation_waits", "node_name_taken"})
"""Refusals that end by themselves, once nothing of an earlier agent can run any more."""

ReplyT = TypeVar("ReplyT", bound=BaseModel)


class Unreachable(Exception):
    """No usable answer: the network, or a control plane that is busy or starting."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Denied(Exception):
    """The control plane does not accept who we say we are."""


class Refused(Exception):
    """The control plane understood, and will not do it: trying again would not help."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Superseded(Refused):
    """Another start of the agent speaks for this node now."""


class ControlPlane:
    """One connection pool to the control plane; `credential` may be exchanged at any time.
    `incarnation` is this start of the agent, once it has begun.
    """

    def __init__(self, http: httpx.AsyncClient, credential: str = "") -> None:
        self._http = http
        self.credential = credential
        self.incarnation: str | None = None

    async def enrol(self, request: EnrolRequest) -> EnrolReply:
        """With the join token as the credential."""
        return await self._post("/enrol", request, EnrolReply)

    async def begin(self, request: BeginRequest) -> BeginReply:
        """Raises Unreachable as long as another start may still run something here."""
        return await self._post("/incarnations", request, BeginReply)

    async def assignments(self, generation: int, wait_s: float) -> AssignmentList:
        """Answers when the list is newer than `generation`, else after `wait_s`."""
        path = f"/assignments?generation={generation}&wait_s={wait_s:g}"
        return await self._ask("GET", path, None, AssignmentList, wait_s + TIMEOUT_S)

    async def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        return await self._post("/heartbeat", request, HeartbeatReply)

    async def report(self, request: ReportRequest) -> ReportReply:
        return await self._post("/reports", request, ReportReply)

    async def logs(self, request: LogRequest) -> LogReply:
        return await self._post("/logs", request, LogReply)

    async def commit(self, request: CheckpointCommit) -> CheckpointReply:
        return await self._post("/checkpoints", request, CheckpointReply)

    async def rotate(self) -> CredentialReply:
        return await self._post("/credential", None, CredentialReply)

    async def _post(self, path: str, body: BaseModel | None, reply: type[ReplyT]) -> ReplyT:
        return await self._ask("POST", path, body, reply, TIMEOUT_S)

    async def _ask(
        self, method: str, path: str, body: BaseModel | None, reply: type[ReplyT], timeout_s: float
    ) -> ReplyT:
        """Every call may be repeated without harm, so one broken connection is tried again."""
        content = None if body is None else body.model_dump_json(exclude_none=True)
        try:
            response = await self._send(method, path, content, timeout_s)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            response = await self._again(method, path, content, timeout_s)
        except httpx.TransportError as error:
            raise Unreachable(_words(error)) from error
        _raise_for(response)
        try:
            return reply.model_validate_json(response.content)
        except ValidationError as error:
            raise Unreachable(f"an answer that is not the protocol's: {error}") from error

    async def _again(
        self, method: str, path: str, content: str | None, timeout_s: float
    ) -> httpx.Response:
        try:
            return await self._send(method, path, content, timeout_s)
        except httpx.TransportError as error:
            raise Unreachable(_words(error)) from error

    async def _send(
        self, method: str, path: str, content: str | None, timeout_s: float
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.credential}"} if self.credential else {}
        if self.incarnation is not None:
            headers[INCARNATION_HEADER] = self.incarnation
        if content is not None:
            headers["Content-Type"] = "application/json"
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        return await self._http.request(
            method, BASE + path, content=content, headers=headers, timeout=timeout
        )


def _raise_for(response: httpx.Response) -> None:
    status = response.status_code
    if status < 300:
        return
    code, message = _problem(response)
    if status in (401, 403):
        raise Denied(message)
    if status in (408, 425, 429) or code in WAITING or status >= 500 or 300 <= status < 400:
        raise Unreachable(f"{status}: {message}", _retry_after(response))
    raise (Superseded if code == "incarnation_superseded" else Refused)(code, message)


def _problem(response: httpx.Response) -> tuple[str, str]:
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return f"http_{response.status_code}", response.reason_phrase or "no reason given"
    detail = [f"{it.pointer}: {it.message}" for it in problem.errors]
    return problem.code, "; ".join([problem.detail, *detail])


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _words(error: httpx.TransportError) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
