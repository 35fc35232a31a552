"""Every route of the API as a function that returns the request for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

from penstock.client.errors import BadReference
from penstock.client.requests import Request, Untyped, check_text
from penstock.client.sse import LAST_ID

API: Final = "/api/v1"
STREAM: Final = {"Accept": "text/event-stream"}


def read(*parts: str, params: Mapping[str, object] | None = None) -> Untyped:
    """GET of the noun or object at `parts`, for example read("jobs", "tiny-coder")."""
    return Request("GET", _path(*parts), _params(params or {}))


def act(*parts: str) -> Untyped:
    """POST of a verb that may be repeated, for example act("nodes", "a", "cordon")."""
    return Request("POST", _path(*parts))


def cancel_job(ref: str, because: str | None = None) -> Untyped:
    """POST of the end of a job; `because` goes into its message. It may be repeated."""
    return Request("POST", _path("jobs", ref, "cancel"), _params({"because": because}))


def submit_job(spec: Mapping[str, object], idempotency_key: str | None = None) -> Untyped:
    """POST /jobs. The key makes it safe to send again after a lost answer."""
    return Request("POST", _path("jobs"), body=spec, headers=_key(idempotency_key))


def retry_job(ref: str, idempotency_key: str | None = None) -> Untyped:
    """POST of another try of an ended job. The key makes it safe to send again."""
    return Request("POST", _path("jobs", ref, "retry"), headers=_key(idempotency_key))


def plan(spec: Mapping[str, object]) -> Untyped:
    return Request("POST", _path("plan"), body=spec)


def job_log_text(ref: str, **part: int | None) -> Untyped:
    """`part`: tail or head (lines), offset (bytes), rank, attempt."""
    headers = {"Accept": "text/plain"}
    return Request("GET", _path("jobs", ref, "logs"), _params(part), headers=headers)


def stream(
    *parts: str, params: Mapping[str, object] | None = None, last_id: str | None = None
) -> Untyped:
    """GET of a stream of events, from the start or after `last_id`."""
    after = {} if last_id is None else {LAST_ID: last_id}
    return Request("GET", _path(*parts), _params(params or {}), headers={**STREAM, **after})


def create(noun: str, body: Mapping[str, object]) -> Untyped:
    """POST of a new object that has no idempotency key."""
    return Request("POST", _path(noun), body=body, repeatable=False)


def put(*parts: str, body: Mapping[str, object], etag: str | None = None) -> Untyped:
    """PUT of the object at `parts`; with `etag` only over that version."""
    return Request("PUT", _path(*parts), body=body, headers={"If-Match": etag} if etag else {})


def revoke_token(ref: str) -> Untyped:
    return Request("DELETE", _path("tokens", ref))


def probe(path: str) -> Untyped:
    """GET of /healthz or /readyz."""
    return Request("GET", path)


def _path(*parts: str) -> str:
    return "/".join([API, *(_segment(part) for part in parts)])


def _segment(part: str) -> str:
    if part in ("", ".", ".."):
        raise BadReference(f"`{part}` is neither a name nor an id")
    check_text("the name or id", part)
    return quote(part, safe="")


def _params(values: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Query parameters; null ones are left out, lists are repeated."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        many = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
        pairs.extend((name, str(one)) for one in many if one is not None)
    return tuple(pairs)


def _key(given: str | None) -> dict[str, str]:
    return {"Idempotency-Key": given or uuid.uuid4().hex}
