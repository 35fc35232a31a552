"""Errors of the OpenAI routes, in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from starlette.responses import JSONResponse

from control_plane.errors import QuotaExceeded
from penstock.documents import DocumentError
from penstock.documents.violations import nearest

INVALID: Final = "invalid_request_error"
SERVER: Final = "server_error"
MAX_NAMED: Final = 20


class GatewayError(Exception):
    """What an OpenAI client is told. `param` is the field of the request that is wrong."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str,
        code: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        body = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return JSONResponse({"error": body}, status_code=self.status, headers=self.headers)


def no_token() -> GatewayError:
    return GatewayError(
        401,
        "A valid API token is needed: Authorization: Bearer …",
        INVALID,
        "invalid_api_key",
        headers={"WWW-Authenticate": 'Bearer realm="penstock"'},
    )


def not_local() -> GatewayError:
    return GatewayError(
        403,
        "Authentication is off: only this machine may ask, as http://127.0.0.1.",
        INVALID,
        "not_local",
    )


def unknown_path(path: str, known: Collection[str]) -> GatewayError:
    return GatewayError(
        404,
        f"There is no path {path[:200]}.{_guess(path, known)} Paths: {_names(known)}.",
        INVALID,
        "unknown_url",
    )


def wrong_method(method: str, path: str, allowed: str) -> GatewayError:
    return GatewayError(
        405,
        f"{path[:200]} takes {allowed}, not {method[:40]}.",
        INVALID,
        "method_not_allowed",
        headers={"Allow": allowed},
    )


def unknown_model(model: str, known: Collection[str]) -> GatewayError:
    there_are = f"There are: {_names(known)}." if known else "No endpoint is open."
    return GatewayError(
        404,
        f"The model {model[:200]!r} does not exist.{_guess(model, known)} {there_are}",
        INVALID,
        "model_not_found",
        param="model",
    )


def ambiguous_model(model: str, choices: Mapping[str, str]) -> GatewayError:
    """`choices`: endpoint id to project."""
    ids = [f"{id_} (project {project})" for id_, project in choices.items()]
    return GatewayError(
        400,
        f"{model[:200]!r} is open in several projects. Give the id: {_names(ids)}.",
        INVALID,
        "ambiguous_model",
        param="model",
    )


def unknown_chip_type(chip_type: str, known: Collection[str]) -> GatewayError:
    return GatewayError(
        404,
        f"There is no chip type {chip_type[:200]!r}.{_guess(chip_type, known)} "
        "See `penstock chip types`.",
        INVALID,
        "chip_type_not_found",
    )


def type_not_served(model: str, chip_type: str, wish: Collection[str]) -> GatewayError:
    return GatewayError(
        404,
        f"No replica of {model!r} can ever be on {chip_type}: its job asks for "
        f"{' or '.join(wish)}.",
        INVALID,
        "chip_type_not_served",
    )


def too_slow(path: str) -> GatewayError:
    return GatewayError(
        504, f"The replica took too long to answer {path}.", SERVER, "replica_too_slow"
    )


def unreadable(error: DocumentError) -> GatewayError:
    if error.code == "not_a_mapping":
        message = "The body must be an object with a string `model`."
        return GatewayError(400, message, INVALID, "model_missing", param="model")
    if error.code in ("too_many_values", "key_too_long"):
        return GatewayError(413, f"The body {error.message}.", INVALID, "body_too_large")
    where = f": line {error.place.line} column {error.place.column}" if error.place else ""
    return GatewayError(400, f"The body {error.message}{where}.", INVALID, "invalid_json")


def too_many(error: QuotaExceeded) -> GatewayError:
    return GatewayError(
        429,
        f"{error.message}; {error.hint}.",
        "rate_limit_error",
        "rate_limit_exceeded",
        headers={"Retry-After": "5"},
    )


def not_ready(model: str, chip_type: str | None) -> GatewayError:
    where = f" on {chip_type}" if chip_type else ""
    return GatewayError(
        503,
        f"No replica of {model!r}{where} is ready; see `penstock endpoint list`.",
        SERVER,
        "model_not_ready",
        headers={"Retry-After": "2"},
    )


def database_away() -> GatewayError:
    return GatewayError(
        503,
        "The database does not answer; try again.",
        SERVER,
        "database_unavailable",
        headers={"Retry-After": "2"},
    )


def _guess(word: str, known: Collection[str]) -> str:
    close = nearest(word, known)
    return f" Did you mean {close}?" if close else ""


def _names(known: Collection[str]) -> str:
    names: Sequence[str] = sorted(known)
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
