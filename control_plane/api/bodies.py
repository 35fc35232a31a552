"""Reads request bodies: bounded while they arrive, JSON or YAML, strict about both.

What a document means is left to the wire types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Receive, Scope

from control_plane.api.failures import Malformed, SlowBody, TooLarge, UnsupportedMedia
from control_plane.api.misread import misread_values
from control_plane.api.validation import MAX_ERRORS, Details, validation_error
from control_plane.errors import Invalid, PlatformError, invalid
from control_plane.server.checks import Checks
from penstock.bounded import TooLong, read_bounded
from penstock.catalogue.violation import violation
from penstock.documents import DocumentError, Limits, parse_document

MAX_BODY_BYTES: Final = 2**20
MAX_AGENT_BODY_BYTES: Final = 8 * 2**20
MAX_YAML_BYTES: Final = MAX_BODY_BYTES
BODY_DEADLINE_S: Final = 30.0
JSON_TYPE: Final = "application/json"
YAML_TYPE: Final = "application/yaml"
_YAML_TYPES: Final = frozenset({YAML_TYPE, "application/x-yaml", "text/yaml", "text/x-yaml"})
_MAX_YAML_VALUES: Final = 5_000
"""A value of YAML takes ten times as long to read as one of JSON."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What a route reads: the limits of a document, and the time that a large one costs at least
    out of its sender's budget.
    """

    limits: Limits
    least_cost_s: float


PEOPLE: Final = Intake(Limits(MAX_BODY_BYTES), 0.05)
STRANGERS: Final = Intake(Limits(64 * 1024, 2_000, 256), 0.0)
"""Before anybody said who they are."""
_LARGE: Final = 100_000
LOGS: Final = Intake(Limits(MAX_AGENT_BODY_BYTES, 4_000, 64), 0.0)
"""Few values, with up to 2 MiB of output in base64, which costs little to read."""
REPORTS: Final = Intake(Limits(4 * 2**20, _LARGE, _LARGE), 0.0)
"""A thousand replicas at once, each with the result that its job gave itself."""
NODES: Final = Intake(Limits(MAX_BODY_BYTES), 0.0)


class DocumentRequest(Request):
    """A request whose body was read and checked already."""

    def __init__(self, scope: Scope, receive: Receive, document: BaseModel) -> None:
        headers = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
        headers.append((b"content-type", JSON_TYPE.encode()))
        super().__init__({**scope, "headers": headers}, receive)
        self._document = document

    async def body(self) -> bytes:
        """Not empty: FastAPI then asks for the document."""
        return b"{}"

    async def json(self) -> BaseModel:
        return self._document


async def read_document(
    request: Request, owner: str, intake: Intake, model: type[BaseModel]
) -> DocumentRequest:
    """The request with its body as a `model`. Raises Malformed, TooLarge, SlowBody,
    UnsupportedMedia, Invalid, and QuotaExceeded for who sends too many large ones.
    """
    checks: Checks = request.app.state.checks
    syntax = _syntax(request.headers)
    limits = intake.limits
    if syntax == "yaml":
        limits = replace(limits, num_values=min(limits.num_values, _MAX_YAML_VALUES))
    checks.admit(owner, _announced(request, limits.num_bytes))
    data = await _read(request, limits.num_bytes)
    check = partial(_checked, data, syntax, limits, model)
    document = await checks.run(owner, len(data), check, intake.least_cost_s)
    return DocumentRequest(request.scope, request.receive, document)


def _syntax(headers: Headers) -> str:
    """json or yaml, from Content-Type; without one it is JSON."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise _unsupported("Content-Encoding", headers["content-encoding"], ["identity"])
    media, _, parameters = headers.get("content-type", JSON_TYPE)[:200].partition(";")
    media = media.strip().lower()
    charset = re.search(r"charset\s*=\s*\"?([\w.:-]+)", parameters, re.IGNORECASE)
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise _unsupported("charset", charset[1], ["utf-8"])
    if media in _YAML_TYPES or media.endswith("+yaml"):
        return "yaml"
    if media == JSON_TYPE or media.endswith("+json"):
        return "json"
    raise _unsupported("Content-Type", media, [JSON_TYPE, YAML_TYPE])


def _unsupported(what: str, received: str, allowed: list[str]) -> UnsupportedMedia:
    word = received[:80]
    wrong = violation(what, "not_supported", received=word, allowed=allowed)
    return UnsupportedMedia(
        "unsupported_media_type",
        what=what,
        received=word,
        json=JSON_TYPE,
        yaml=YAML_TYPE,
        violations=[wrong],
    )


def _announced(request: Request, limit: int) -> int:
    """The length that the sender gives. Raises TooLarge as soon as that is known."""
    announced = request.headers.get("content-length", "0")
    length = int(announced[:20]) if announced.isdigit() else 0
    if length > limit:
        raise TooLarge("too_large", most=limit)
    return length


async def _read(request: Request, limit: int) -> bytes:
    try:
        return await read_bounded(request.stream(), limit, BODY_DEADLINE_S)
    except TooLong as error:
        raise TooLarge("too_large", most=limit) from error
    except TimeoutError as error:
        raise SlowBody("slow_body", within_s=BODY_DEADLINE_S) from error


def _checked(data: bytes, syntax: str, limits: Limits, model: type[BaseModel]) -> BaseModel:
    """The whole work on a body, in one go: it may take a thread."""
    try:
        document = parse_document(data, syntax=syntax, limits=limits)
    except DocumentError as error:
        raise _refusal(error) from error
    wrong: list[Details] = [*misread_values(model, document.value)]
    try:
        made = model.model_validate(document.value)
        if not wrong:
            return made
    except ValidationError as error:
        wrong += error.errors(include_url=False)[:MAX_ERRORS]
    details = [{**one, "loc": ("body", *one["loc"])} for one in wrong]
    raise validation_error(details, model, document.value, document.places)


def _refusal(error: DocumentError) -> PlatformError:
    place = {} if error.place is None else error.place._asdict()
    found = [violation(it.pointer, it.code, **{**it.params, **place}) for it in error.faults]
    if error.code in _OF_VALUES:
        return invalid(found)
    kind, params = _KINDS.get(error.code, Malformed), {**error.faults[0].params, **place}
    return kind(error.code, subject="the body", violations=found, **params)


_OF_VALUES: Final = frozenset({"number_out_of_range", "unsafe_character"})
_KINDS: Final[Mapping[str, type[PlatformError]]] = {
    "not_a_mapping": Invalid,
    "empty_document": Invalid,
    "too_many_values": TooLarge,
    "key_too_long": TooLarge,
}
