"""How commands end badly: exit codes, and one shape of message for every kind of error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from penstock.cli.terminal.text import clean
from penstock.client.errors import (
    ApiError,
    BadReference,
    ClientError,
    ConnectionFailed,
    Unsendable,
    WaitTimeout,
)

if TYPE_CHECKING:
    from penstock.client.requests import Document
    from penstock.documents import Place

MAX_ALLOWED_SHOWN: Final = 16


class ExitCode(IntEnum):
    """What the command's exit status means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    UNREACHABLE = 5
    INTERRUPTED = 130


class CliError(Exception):
    """An error that the command itself found, in the shape of the API's problems."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        exit_code: ExitCode = ExitCode.USAGE,
        errors: Sequence[Document] = (),
        places: Mapping[str, Place] | None = None,
        source: str = "",
    ) -> None:
        super().__init__(message)
        self.document = {"code": code, "detail": message, "hint": hint, "errors": list(errors)}
        self.exit_code = exit_code
        self.places = places or {}
        self.source = source


class ClosedPipe(Exception):
    """Whoever read our output has stopped reading."""


def exit_code_of(error: CliError | ClientError) -> ExitCode:
    """The exit status for an error."""
    if isinstance(error, CliError):
        return error.exit_code
    if isinstance(error, ConnectionFailed):
        return ExitCode.UNREACHABLE
    if isinstance(error, BadReference):
        return ExitCode.USAGE
    if isinstance(error, ApiError):
        return _STATUS.get(error.status, ExitCode.FAILED)
    return ExitCode.FAILED


def render(error: CliError | ClientError) -> str:
    """The error as one message: what, where, the nearest name, the code, what to do next."""
    document, source, places = _document(error)
    violations = document.get("errors") or []
    lines = []
    if len(violations) == 1:
        lines.append(f"error: {_violation(violations[0], source, places)} [{document['code']}]")
    else:
        lines.append(
            f"error: {_source(source)}{clean(str(document['detail']))} [{document['code']}]"
        )
        lines += [f"  {_violation(one, source, places)}" for one in violations]
    if document.get("hint"):
        first, *more = map(clean, str(document["hint"]).splitlines())
        lines += [f"  hint: {first}", *more]
    if document.get("request_id"):
        lines.append(f"  request: {clean(str(document['request_id']))}")
    return "\n".join(lines)


_STATUS: Final = {
    **dict.fromkeys((400, 405, 406, 411, 413, 414, 415, 422, 431), ExitCode.USAGE),
    **dict.fromkeys((401, 403), ExitCode.DENIED),
    **dict.fromkeys((404, 410), ExitCode.NOT_FOUND),
    **dict.fromkeys((502, 503, 504), ExitCode.UNREACHABLE),
}


def _document(error: CliError | ClientError) -> tuple[Document, str, Mapping[str, Place]]:
    if isinstance(error, CliError):
        return error.document, error.source, error.places
    if isinstance(error, ApiError):
        return _with_hint(error), "", {}
    return {"detail": str(error), **_own(error)}, "", {}


def _own(error: ClientError) -> Document:
    """Code and hint of what the client found without the server."""
    if isinstance(error, Unsendable):
        return {"code": "cannot_be_sent"}
    if isinstance(error, BadReference):
        return {"code": "bad_name"}
    if isinstance(error, WaitTimeout):
        return {"code": "timeout"}
    hint = "start it with `penstock up`, or choose another with `penstock login URL`"
    return {"code": "unreachable", "hint": hint}


def _with_hint(error: ApiError) -> Document:
    if error.status != 401 or error.document.get("hint"):
        return error.document
    return {**error.document, "hint": "log in: penstock login SERVER --token TOKEN"}


def _violation(one: Document, source: str, places: Mapping[str, Place]) -> str:
    pointer = str(one.get("pointer") or "")
    text = f"{_source(source, _nearest_place(pointer, places))}"
    text += f"{clean(pointer)}: " if pointer else ""
    text += clean(str(one["message"]))
    received = one.get("received")
    if received not in (None, "a mapping", "a list") and str(received) not in one["message"]:
        text += f", not {clean(repr(received))}"
    if one.get("did_you_mean"):
        text += f"; did you mean `{clean(str(one['did_you_mean']))}`?"
    allowed = one.get("allowed") or []
    if 0 < len(allowed) <= MAX_ALLOWED_SHOWN and "must be one of" not in str(one["message"]):
        text += f" (allowed: {', '.join(clean(str(word)) for word in allowed)})"
    return text


def _nearest_place(pointer: str, places: Mapping[str, Place]) -> Place | None:
    """Where the value stands, or for one that is missing, what it is missing from."""
    while pointer and pointer not in places:
        pointer = pointer.rpartition("/")[0]
    return places.get(pointer)


def _source(source: str, place: Place | None = None) -> str:
    if not source:
        return ""
    return f"{source}:{place.line}:{place.column}: " if place else f"{source}: "
