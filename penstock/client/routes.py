"""Every route of the API as a function that returns the request for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from penstock.client.errors import BadReference
from penstock.client.requests import Request

API: Final = "/api/v1"
STREAM: Final = {"Accept": "text/event-stream"}


def read(*parts: str, params: Mapping[str, Any] | None = None) -> Request:
    """GET of the noun or object at `parts`, for example read("jobs", "tiny-coder")."""
    return Request("GET", _path(*parts), _params(params or {}))


def act(*parts: str) -> Request:
    """POST of a verb that may be repeated, for example act("nodes", "a", "cordon")."""
    return Request("POST", _path(*parts))


def cancel_job(ref: str, because: str | None = None) -> Request:
    """POST of the end of a job; `because` goes into its message. It may be repeated."""
    return Request("POST", _path("jobs", ref, "cancel"), _params({"because": because}))


def submit_job(spec: Mapping[str, Any], idempotency_key: str | None = None) -> Request:
    """POST /jobs. The key makes it safe to send again after a lost answer."""
    return Request("POST", _path("jobs"), body=spec, headers=_key(idempotency_key))


def retry_job(ref: str, idempotency_key: str | None = None) -> Request:
    """POST of another try of an ended job. The key makes it safe to send again."""
    return Request("POST", _path("jobs", ref, "retry"), headers=_key(idempotency_key))


def plan(spec: Mapping[str, Any]) -> Request:
    return Request("POST", _path("plan"), body=spec)


def job_log_text(ref: str, **part: int | None) -> Request:
    """`part`: tail or head (lines), offset (bytes), rank, attempt."""
    headers = {"Accept": "text/plain"}
    return Request("GET", _path("jobs", ref, "logs"), _params(part), headers=headers)


def job_log_stream(ref: str, **part: int | None) -> Request:
    """`part`: tail (lines), offset (bytes), rank, attempt."""
    return Request("GET", _path("jobs", ref, "logs"), _params(part), headers=STREAM)


def event_stream(job: str | None = None) -> Request:
    """The events of one job, or all that the caller may see."""
    return Request("GET", _path("jobs", job, "events") if job else _path("events"), headers=STREAM)


def create(noun: str, body: Mapping[str, Any]) -> Request:
    """POST of a new object that has no idempotency key."""
    return Request("POST", _path(noun), body=body, repeatable=False)


def set_queue(name: str, limits: Mapping[str, int], etag: str | None = None) -> Request:
    headers = {"If-Match": etag} if etag else {}
    return Request("PUT", _path("queues", name), body={"limits": dict(limits)}, headers=headers)


def revoke_token(ref: str) -> Request:
    return Request("DELETE", _path("tokens", ref))


def probe(path: str) -> Request:
    """GET of /healthz or /readyz."""
    return Request("GET", path)


def _path(*parts: str) -> str:
    return "/".join([API, *(_segment(part) for part in parts)])


def _segment(part: str) -> str:
    if part in ("", ".", ".."):
        raise BadReference(f"`{part}` is neither a name nor an id")
    return quote(part, safe="")


def _params(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Query parameters; null ones are left out, lists are repeated."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        many = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
        pairs.extend((name, str(one)) for one in many if one is not None)
    return tuple(pairs)


def _key(given: str | None) -> dict[str, str]:
    return {"Idempotency-Key": given or uuid.uuid4().hex}
