"""From exceptions to answers. The only place that knows HTTP's numbers, with `problems.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog
from fastapi import FastAPI
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.failures import Malformed, MethodNotAllowed, UnknownPath
from control_plane.api.problems import problem_response
from control_plane.errors import Invalid, PlatformError, Unavailable
from penstock.api.errors import Violation
from penstock.violations import nearest

log = structlog.get_logger()


class Known(NamedTuple):
    """A route that there is: pattern of its path, methods, and the compiled pattern."""

    path: str
    methods: frozenset[str]
    pattern: Any


class Internal(PlatformError):
    """A fault of ours. The log has it under the request id; the caller gets no more."""

    code = "internal"


def add_error_handlers(app: FastAPI, routes: Sequence[Known]) -> None:
    """Every error has the one shape, also for paths and methods that do not exist."""

    async def unmatched(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _answer(request, _unmatched(request, error, routes))

    app.add_exception_handler(HTTPException, unmatched)
    app.add_exception_handler(PlatformError, _platform_error)
    for kind in (
        OperationalError, InterfaceError, PoolTimeout, StaleDataError, IntegrityError, DataError,
    ):  # fmt: skip
        app.add_exception_handler(kind, _database_error)
    app.add_exception_handler(Exception, _internal)


async def _platform_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlatformError)
    return _answer(request, error)


async def _database_error(request: Request, error: Exception) -> Response:
    """The database is away, or so busy that a write lost every race: both pass."""
    told = error.orig if isinstance(error, DBAPIError) else error
    log.warning("database_error", kind=type(error).__name__, error=str(told)[:500])
    if isinstance(error, DataError):
        return _answer(request, Invalid("a value is out of range", code="out_of_range"))
    if isinstance(error, StaleDataError | IntegrityError):
        busy = Unavailable("too many changes at the same time", code="busy", hint="try again")
        return _answer(request, busy)
    away = Unavailable("the database does not answer", code="database_unavailable")
    return _answer(request, away)


async def _internal(request: Request, error: Exception) -> Response:
    log.error(
        "request_failed", request_id=_request_id(request), method=request.method,
        path=request.url.path, exc_info=error,
    )  # fmt: skip
    hint = "this is a fault of Penstock; its log has more under this request id"
    return _answer(request, Internal("something went wrong here", hint=hint))


def _unmatched(request: Request, error: HTTPException, routes: Sequence[Known]) -> PlatformError:
    path = request.url.path
    if error.status_code == 405:
        allowed = sorted({m for one in routes if one.pattern.match(path) for m in one.methods})
        allowed = allowed or sorted((error.headers or {}).get("Allow", "").split(", "))
        method = request.method[:40]
        message = f"{path[:200]} does not take {method}"
        return MethodNotAllowed(message, received=method, allowed=allowed)
    if error.status_code == 404:
        close = nearest(path, sorted({one.path for one in routes}))
        violation = Violation(
            pointer="", message="unknown path", received=path[:80], did_you_mean=close
        )
        return UnknownPath(
            f"there is no path {path[:200]}", hint="/openapi.json lists all paths",
            violations=[violation],
        )  # fmt: skip
    return Malformed(str(error.detail), code="malformed")


def _answer(request: Request, error: PlatformError) -> Response:
    headers = {"Allow": ", ".join(error.allowed)} if isinstance(error, MethodNotAllowed) else {}
    if error.code in ("too_large", "slow_body"):
        headers["Connection"] = "close"  # the rest of the body is not read
    return problem_response(error, request.url.path, _request_id(request), headers=headers)


def _request_id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))
