"""Writes errors as `application/problem+json` documents, at most two kibibytes each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic import JsonValue
from starlette.responses import Response

from control_plane.api import failures
from control_plane.api.middleware import common_headers
from control_plane.errors import (
    Conflict,
    Denied,
    Invalid,
    NotFound,
    PlatformError,
    PreconditionFailed,
    QuotaExceeded,
    Unauthenticated,
    Unavailable,
)
from penstock.api.errors import Problem, Violation
from penstock.json_types import Json

MEDIA_TYPE: Final = "application/problem+json"
MAX_BYTES: Final = 2048
MAX_ALLOWED: Final = 24
MAX_WORD: Final = 80
MAX_PARAMETER: Final = 300
_FEW: Final = 6

# Class → (status, title, whether trying again later helps).
KINDS: Final[Mapping[type[PlatformError], tuple[int, str, bool]]] = {
    failures.Malformed: (400, "The request cannot be read", False),
    Unauthenticated: (401, "Not authenticated", False),
    Denied: (403, "Not allowed", False),
    NotFound: (404, "Not found", False),
    failures.UnknownPath: (404, "No such path", False),
    failures.MethodNotAllowed: (405, "Method not allowed", False),
    failures.SlowBody: (408, "The request took too long", True),
    Conflict: (409, "Conflict", False),
    PreconditionFailed: (412, "The object has changed", False),
    failures.TooLarge: (413, "The request is too large", False),
    failures.UriTooLong: (414, "The address is too long", False),
    failures.UnsupportedMedia: (415, "Format not supported", False),
    Invalid: (422, "The request is not valid", False),
    QuotaExceeded: (429, "A limit is reached", True),
    failures.HeadersTooLarge: (431, "The headers are too large", False),
    Unavailable: (503, "Not available for now", True),
}
_INTERNAL: Final = (500, "Internal error", False)
_RETRY_AFTER_S: Final = {429: "5", 503: "2"}


def problem_response(
    error: PlatformError, path: str, request_id: str, *, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer for an error that a caller can understand."""
    status, title, retryable = _kind(error)
    document = Problem(
        type=f"urn:penstock:problem:{error.code}",
        title=title,
        status=status,
        detail=_sentence(error),
        instance=path[:200],
        code=error.code,
        errors=list(error.violations),
        params=dict(error.said.params),
        hint=error.hint,
        request_id=request_id,
        retryable=retryable,
    )
    extra = {**common_headers(request_id), **(headers or {})}
    if status in _RETRY_AFTER_S:
        extra["Retry-After"] = _RETRY_AFTER_S[status]
    if status == 401:
        extra["WWW-Authenticate"] = 'Bearer realm="penstock"'
    return Response(fitted(document), status, extra, MEDIA_TYPE)


def fitted(problem: Problem) -> bytes:
    """The document in few bytes: long lists of allowed values are cut first, then parameters, since
    the sentences have them too, violations last.
    """
    document = problem.model_dump(mode="json", exclude_none=True)
    document["params"] = _short_params(document["params"])
    shown: list[Json] = [_short(one, MAX_ALLOWED) for one in problem.errors]
    for num_allowed in (MAX_ALLOWED, _FEW, 0):
        shown = [_short(one, num_allowed) for one in problem.errors]
        if _size(document, shown) <= MAX_BYTES:
            break
    if _size(document, shown) > MAX_BYTES:
        shown = [{name: it for name, it in one.items() if name != "params"} for one in shown]
    while len(shown) > 1 and _size(document, shown) > MAX_BYTES:
        shown.pop()
    left_out = len(problem.errors) - len(shown)
    if left_out:
        document["detail"] = f"{document['detail'][:400]} (and {left_out} more)"
    if _size(document, shown) > MAX_BYTES:
        document["params"] = {}
    return _dump({**document, "errors": shown})


def _kind(error: PlatformError) -> tuple[int, str, bool]:
    return next((KINDS[cls] for cls in type(error).__mro__ if cls in KINDS), _INTERNAL)


def _sentence(error: PlatformError) -> str:
    """One message for people, although the violations say it again for programs."""
    text = error.message
    return text if len(text) <= 500 else text[:499] + "…"


def _short(violation: Violation, num_allowed: int) -> Json:
    """Without nulls; the nearest value stays even where the list of all is cut."""
    document = violation.model_dump(mode="json", exclude_none=True)
    document["pointer"] = document["pointer"][:200]
    document["message"] = _cut(document["message"], 300)
    if params := document.pop("params"):
        document["params"] = _short_params(params)
    allowed: Sequence[str] = document.pop("allowed", ())
    if len(allowed) > num_allowed:
        allowed = _nearest_first(allowed, document.get("did_you_mean"))[:num_allowed]
    if allowed:
        document["allowed"] = [_cut(word, MAX_WORD) for word in allowed]
    return document


def _nearest_first(allowed: Iterable[str], nearest: str | None) -> list[str]:
    return sorted(allowed, key=lambda word: word != nearest)


def _short_params(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: _short_params(it) for name, it in value.items()}
    if isinstance(value, list):
        return [_short_params(it) for it in value]
    return _cut(value, MAX_PARAMETER) if isinstance(value, str) else value


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _size(document: Mapping[str, object], shown: Sequence[Json]) -> int:
    return len(_dump({**document, "errors": shown}))


def _dump(document: Mapping[str, object]) -> bytes:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")
