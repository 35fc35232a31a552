"""Reads request bodies: bounded while they arrive, JSON or YAML, strict about both.

What a document means is left to the wire types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import anyio
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Receive, Scope

from control_plane.api.failures import Malformed, SlowBody, TooLarge, UnsupportedMedia
from control_plane.errors import Invalid, PlatformError
from penstock.api.errors import Violation
from penstock.documents import Document, DocumentError, Place, escape_pointer, parse_document

MAX_BODY_BYTES: Final = 2**20
MAX_AGENT_BODY_BYTES: Final = 8 * 2**20
MAX_YAML_BYTES: Final = 128 * 1024  # reading YAML takes about ten seconds a mebibyte
BODY_DEADLINE_S: Final = 30.0
JSON_TYPE: Final = "application/json"
YAML_TYPE: Final = "application/yaml"
_YAML_TYPES: Final = frozenset({YAML_TYPE, "application/x-yaml", "text/yaml", "text/x-yaml"})
_LONG_BYTES: Final = 16 * 1024
_MAX_INTEGER: Final = 2**63 - 1
_UNSAFE: Final = re.compile("[\0\ud800-\udfff]")


class DocumentRequest(Request):
    """A request whose body was read and parsed already."""

    def __init__(self, scope: Scope, receive: Receive, document: Document) -> None:
        headers = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
        headers.append((b"content-type", JSON_TYPE.encode()))
        super().__init__({**scope, "headers": headers}, receive)
        self._document = document

    async def body(self) -> bytes:
        """Not empty: FastAPI then asks for the document."""
        return b"{}"

    async def json(self) -> Any:
        return self._document.value

    @property
    def places(self) -> Mapping[str, Place]:
        """Line and column per JSON pointer; empty for JSON."""
        return self._document.places


async def read_document(request: Request, max_bytes: int) -> DocumentRequest:
    """The request with its body parsed. Raises Malformed, TooLarge, SlowBody, UnsupportedMedia,
    and Invalid for values that no field may have.
    """
    syntax = _syntax(request.headers)
    limit = min(max_bytes, MAX_YAML_BYTES) if syntax == "yaml" else max_bytes
    data = await _read(request, limit)
    if len(data) <= _LONG_BYTES:
        document = _parse(data, syntax, limit)
    else:
        document = await anyio.to_thread.run_sync(_parse, data, syntax, limit)
    return DocumentRequest(request.scope, request.receive, document)


def unsafe_values(value: Any, pointer: str = "") -> Iterator[Violation]:
    """Text with NUL or half a surrogate pair, and integers beyond 64 bits, wherever they stand."""
    if isinstance(value, str):
        if not value.isascii() or "\0" in value:
            yield from _unsafe_text(value, pointer)
    elif isinstance(value, dict):
        for key, inner in value.items():
            step = f"{pointer}/{escape_pointer(key.encode('utf-8', 'replace').decode())}"
            yield from _unsafe_text(key, step)
            yield from unsafe_values(inner, step)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from unsafe_values(inner, f"{pointer}/{index}")
    elif isinstance(value, int) and not -_MAX_INTEGER <= value <= _MAX_INTEGER:
        yield Violation(pointer=pointer, message="is a number out of range", received=str(value))


def _unsafe_text(text: str, pointer: str) -> Iterator[Violation]:
    found = _UNSAFE.search(text)
    if found is not None:
        message = f"has the character U+{ord(found[0]):04X}, which text may not have"
        yield Violation(pointer=pointer, message=message)


def _syntax(headers: Headers) -> str:
    """json or yaml, from Content-Type; without one it is JSON."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise _unsupported("Content-Encoding", headers["content-encoding"], ["identity"])
    media, _, parameters = headers.get("content-type", JSON_TYPE).partition(";")
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
    message = f"the {what} {received[:80]!r} is not read here"
    violation = Violation(
        pointer=what, message="not supported", received=received[:80], allowed=allowed
    )
    hint = f"send {JSON_TYPE} or {YAML_TYPE} in UTF-8, not compressed"
    return UnsupportedMedia(message, hint=hint, violations=[violation])


async def _read(request: Request, limit: int) -> bytes:
    """Refuses a long body as soon as that is known, and never holds more than the limit."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        with anyio.fail_after(BODY_DEADLINE_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError as error:
        raise SlowBody(f"the body did not arrive within {BODY_DEADLINE_S:.0f} s") from error
    return b"".join(chunks)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is longer than {limit} bytes",
        hint="keep large inputs in storage and name them here; JSON may be longer than YAML",
    )


def _parse(data: bytes, syntax: str, limit: int) -> Document:
    try:
        document = parse_document(data, syntax=syntax, max_bytes=limit)
    except DocumentError as error:
        raise _refusal(error) from error
    unsafe = list(unsafe_values(document.value))
    if unsafe:
        raise Invalid(f"{unsafe[0].pointer} {unsafe[0].message}", violations=unsafe[:20])
    return document


def _refusal(error: DocumentError) -> PlatformError:
    where = f" (line {error.place.line}, column {error.place.column})" if error.place else ""
    message = f"the body {error.message}{where}"
    violation = Violation(pointer=error.pointer, message=f"{error.message}{where}")
    kind = Invalid if error.code in ("not_a_mapping", "empty_document") else Malformed
    return kind(message, code=error.code, violations=[violation], hint=_HINTS.get(error.code))


_HINTS: Final[Mapping[str, str]] = {
    "broken_json": "check it with: python -m json.tool",
    "duplicate_key": "keep one of the two",
    "tag_refused": "write plain values",
}
