"""Renders what services give back: JSON with an ETag, and 304 where the caller has it already."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

JSON: Final = "application/json"
# Ages grow by themselves: an answer that differs in nothing else is the same answer.
_AGES: Final = re.compile(rb'"(?:waited_s|ran_s|oldest_wait_s)":[0-9.eE+-]+')


def reply(
    view: BaseModel, status: int = 200, *, version: str | None = None, location: str | None = None
) -> Response:
    """The view as JSON. `version` goes into the ETag, so that If-Match can name it."""
    body = view.model_dump_json().encode()
    headers = {"ETag": _etag(body, version)}
    if location is not None:
        headers["Location"] = location
    return Response(body, status, headers, JSON)


def secret_reply(view: BaseModel, status: int) -> Response:
    """A view with a secret in it: never kept by anybody on the way."""
    headers = {"Cache-Control": "no-store"}
    return Response(view.model_dump_json().encode(), status, headers, JSON)


def plain_reply(view: BaseModel) -> Response:
    """An answer to an agent: nobody asks twice for the same."""
    return Response(view.model_dump_json().encode(), 200, None, JSON)


def not_modified(request: Request, response: Response) -> Response:
    """304 without a body where If-None-Match names what would be sent."""
    etag = response.headers.get("etag")
    asked = request.headers.get("if-none-match")
    if etag is None or asked is None or request.method != "GET" or response.status_code != 200:
        return response
    if not _names(asked, etag):
        return response
    kept: Mapping[str, str] = {"ETag": etag}
    return Response(status_code=304, headers=kept)


def _etag(body: bytes, version: str | None) -> str:
    digest = hashlib.blake2b(_AGES.sub(b"", body), digest_size=9).hexdigest()
    return f'W/"{version}-{digest}"' if version else f'W/"{digest}"'


def _names(asked: str, etag: str) -> bool:
    given = {word.strip().removeprefix("W/") for word in asked.split(",")}
    return "*" in given or etag.removeprefix("W/") in given
