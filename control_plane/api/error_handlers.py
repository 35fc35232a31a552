"""From exceptions to answers. The only place that knows HTTP's numbers, with `problems.py`."""

from __future__ import annotations

from typing import Final

import structlog
from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.failures import Malformed, MethodNotAllowed, UnknownPath
from control_plane.api.problems import problem_response
from control_plane.errors import PlatformError
from control_plane.store.database.faults import PASSING, cause, refusal
from penstock.catalogue.violation import violation
from penstock.documents.violations import nearest

log = structlog.get_logger()

HANDLED: Final = (PlatformError, *PASSING)
"""What routes raise that is no fault of ours."""


class Internal(PlatformError):
    """A fault of ours. The log has it under the request id; the caller gets no more."""


def add_error_handlers(app: FastAPI) -> None:
    """Every error has the one shape, also for paths and methods that do not exist."""
    app.add_exception_handler(HTTPException, _unmatched)
    for kind in HANDLED:
        app.add_exception_handler(kind, answer_error)
    app.add_exception_handler(Exception, _internal)


async def answer_error(request: Request, error: Exception) -> Response:
    """The answer to one of those."""
    handler = _platform_error if isinstance(error, PlatformError) else _database_error
    return await handler(request, error)


async def _platform_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlatformError)
    return _answer(request, error)


async def _database_error(request: Request, error: Exception) -> Response:
    log.warning("database_error", kind=type(error).__name__, error=cause(error))
    return _answer(request, refusal(error))


async def _internal(request: Request, error: Exception) -> Response:
    log.error(
        "request_failed",
        request_id=_request_id(request),
        method=request.method,
        path=request.url.path,
        exc_info=error,
    )
    return _answer(request, Internal("internal"))


async def _unmatched(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    if error.status_code == 405:
        return _answer(request, _wrong_method(request, path))
    if error.status_code == 404:
        return _answer(request, _unknown_path(request, path))
    return _answer(request, Malformed("malformed", what=str(error.detail)))


def _wrong_method(request: Request, path: str) -> MethodNotAllowed:
    """All methods of the path: FastAPI names those of the first route that matches."""
    matching = [one for one in _routes(request) if one.path_regex.match(request.url.path)]
    allowed = sorted({method for one in matching for method in one.methods or ()})
    method = request.method[:40]
    return MethodNotAllowed(path, method, allowed)


def _unknown_path(request: Request, path: str) -> UnknownPath:
    close = nearest(path, sorted({one.path for one in _routes(request) if one.path}))
    wrong = violation("", "unknown_path", received=path[:80], did_you_mean=close)
    return UnknownPath("no_such_path", path=path, violations=[wrong])


def _routes(request: Request) -> list[RouteContext]:
    """Every route of the application, those that other parts added included."""
    return [one for one in iter_route_contexts(request.app.routes) if one.methods]


def _answer(request: Request, error: PlatformError) -> Response:
    headers = {"Allow": ", ".join(error.allowed)} if isinstance(error, MethodNotAllowed) else {}
    if error.code in ("too_large", "slow_body"):
        headers["Connection"] = "close"  # the rest of the body is not read
    return problem_response(error, request.url.path, _request_id(request), headers=headers)


def _request_id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))
