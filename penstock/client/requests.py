"""Requests as values: what is sent, and when it may be sent again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from penstock.backoff import doubled_s, jittered_s
from penstock.client.errors import Unsendable

Document = dict[str, Any]
"""A JSON object as it came."""
T = TypeVar("T", covariant=True)
RETRYABLE_STATUS: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One call of the API, answered by a `T`. `repeatable`: doing it twice is the same as doing it
    once.
    """

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True

    def __post_init__(self) -> None:
        for name, value in self.params:
            check_text(f"the value of {name}", value)
        for name, value in self.headers.items():
            check_text(name, value, ascii_only=True)


def check_text(what: str, text: str, *, ascii_only: bool = False) -> None:
    """Raises Unsendable for what is no text, as bytes of another encoding among a command's words.
    `what` names it for its user.
    """
    if ascii_only and not (text.isascii() and text.isprintable()):
        raise Unsendable(f"{what} must be printable ASCII, not {text[:80]!a}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Unsendable(f"{what} is not UTF-8: {text[:80]!a}") from error


Untyped = Request[Any]
"""What a route is before a noun says which type answers it."""


@dataclass(frozen=True, slots=True)
class Polled(Request[T]):
    """A call that is made again every `poll_s` until the object has ended."""

    timeout_s: float | None = None
    poll_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer of the API."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """One try that brought no answer, or an answer that says to come back later."""

    sent: bool
    """False where the request surely never reached the server."""
    status: int | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits grow from `first_delay_s` by doubling, with jitter, up to `longest_delay_s`."""

    attempts: int = 4
    first_delay_s: float = 0.1
    longest_delay_s: float = 10.0

    def delay_s(
        self, request: Request[object], failure: Failure, failures: int, jitter: float | None = None
    ) -> float | None:
        """Seconds until the next try, or None to give up. `failures` counts from 1."""
        if failures >= self.attempts:
            return None
        if not request.repeatable and failure.sent:
            return None
        if failure.status is not None and failure.status not in RETRYABLE_STATUS:
            return None
        if failure.retry_after_s is not None:
            return min(failure.retry_after_s, self.longest_delay_s)
        if jitter is None:
            from random import random  # only here: it takes time to import

            jitter = random()
        return jittered_s(self.grown_s(failures, self.longest_delay_s), jitter)

    def grown_s(self, failures: int, most_s: float) -> float:
        """The wait after so many failures, without jitter."""
        return doubled_s(failures, self.first_delay_s, most_s)


def retry_after_s(header: str | None) -> float | None:
    """The seconds of a Retry-After header; its date form is not used by Penstock."""
    try:
        value = float(header or "")
    except ValueError:
        return None
    return value if 0 <= value < 86400 else None
