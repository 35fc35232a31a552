"""Errors of the control plane. Only `api/error_handlers.py` knows their HTTP numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.api.errors import Violation
from penstock.api.ids import noun_of


class PlatformError(Exception):
    """Something a caller can understand: a stable code, a sentence and what to do next."""

    code = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        violations: Sequence[Violation] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.hint = hint
        self.violations = tuple(violations)


class Invalid(PlatformError):
    """The input does not make sense; `violations` says where."""

    code = "invalid"


class Unauthenticated(PlatformError):
    """No valid credential came with the request."""

    code = "unauthenticated"


class Denied(PlatformError):
    """The caller is known but may not do this."""

    code = "denied"


class NotFound(PlatformError):
    """No such object, or none that the caller may see."""

    code = "not_found"


class Conflict(PlatformError):
    """The object is in a state, or of a version, that does not allow this."""

    code = "conflict"


class PreconditionFailed(PlatformError):
    """If-Match names another version than the current one."""

    code = "precondition_failed"


class QuotaExceeded(PlatformError):
    """A limit of the caller's project or queue stands against it."""

    code = "quota_exceeded"


class Unavailable(PlatformError):
    """A part is away for now; trying again later helps."""

    code = "unavailable"


def not_found(noun: str, ref: str, hint: str | None = None) -> NotFound:
    """There is no such object, or none that the caller may see."""
    other = noun_of(ref)
    if other not in (None, noun):
        message = f"there is no {noun} {ref!r}: that is the id of a {other}"
    else:
        message = f"there is no {noun} {ref!r}"
    return NotFound(message, code=f"{noun}_not_found", hint=hint)


def ambiguous(noun: str, ref: str, choices: Iterable[tuple[str, str]]) -> Conflict:
    """An administrator's name that stands for an object in each of several projects."""
    ids = ", ".join(f"{id_} (project {project})" for id_, project in choices)
    return Conflict(
        f"{ref} is the name of a {noun} in each of several projects",
        code="ambiguous_name",
        hint=f"give the id: {ids}",
    )
