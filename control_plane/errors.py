"""Errors of the control plane. Only `api/error_handlers.py` knows their HTTP numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from penstock.api.errors import Violation
from penstock.api.ids import noun_of
from penstock.api.messages import Message, as_params
from penstock.catalogue import render, render_hint
from penstock.catalogue.values import NAME_THEIR_PLACE

if TYPE_CHECKING:
    from penstock.api.messages import Parameter


class PlatformError(Exception):
    """Something a caller can understand. Sentence and hint are the catalogue's, of the code and its
    parameters; `violations` says what exactly is wrong where.
    """

    def __init__(
        self, code: str, /, *, violations: Sequence[Violation] = (), **params: Parameter
    ) -> None:
        super().__init__(code)
        self.said = Message(code, as_params(params))
        self.violations = tuple(violations)

    @property
    def code(self) -> str:
        return self.said.code

    @property
    def message(self) -> str:
        return render(self.said)

    @property
    def hint(self) -> str | None:
        return render_hint(self.said)

    def __str__(self) -> str:
        return self.message


class Invalid(PlatformError):
    """The input does not make sense; `violations` says where."""


class Unauthenticated(PlatformError):
    """No valid credential came with the request."""


class Denied(PlatformError):
    """The caller is known but may not do this."""


class NotFound(PlatformError):
    """No such object, or none that the caller may see."""


class Conflict(PlatformError):
    """The object is in a state, or of a version, that does not allow this."""


class PreconditionFailed(PlatformError):
    """If-Match names another version than the current one."""


class QuotaExceeded(PlatformError):
    """A limit of the caller's project or queue stands against it."""


class Unavailable(PlatformError):
    """A part is away for now; trying again later helps."""


def invalid(found: Sequence[Violation], code: str = "invalid", **params: Parameter) -> Invalid:
    """The error for these violations: its sentence is the first one's. The code's text has the
    parameters `field`, `what`, `line`, `column`, `meant` and `more`.
    """
    first, more = found[0], len(found) - 1
    return Invalid(
        code,
        violations=found,
        field="" if first.code in NAME_THEIR_PLACE else first.pointer.lstrip("/") or "the body",
        what=Message(first.code, first.params),
        line=first.params.get("line"),
        column=first.params.get("column"),
        meant=first.did_you_mean,
        more=more or None,
        **params,
    )


def not_found(noun: str, ref: str) -> NotFound:
    """There is no such object, or none that the caller may see."""
    other = noun_of(ref)
    return NotFound(f"{noun}_not_found", ref=ref, other=other if other != noun else None)


def ambiguous(noun: str, ref: str, choices: Iterable[tuple[str, str]]) -> Conflict:
    """An administrator's name that stands for an object in each of several projects."""
    ids = [f"{id_} (project {project})" for id_, project in choices]
    return Conflict("ambiguous_name", noun=noun, ref=ref, choices=ids)
