"""What can go wrong between a client and the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.api.errors import Problem
    from penstock.client.requests import Document


class ClientError(Exception):
    """Base of everything that the client raises about a request."""


class ApiError(ClientError):
    """The server refused the request; `problem` says what, where and what to do next."""

    def __init__(self, status: int, document: Document) -> None:
        super().__init__(str(document.get("detail") or document.get("title") or f"HTTP {status}"))
        self.status = status
        self.document = document

    @property
    def code(self) -> str:
        """The stable word for what went wrong."""
        return str(self.document["code"])

    @property
    def problem(self) -> Problem:
        """The error as its wire type."""
        from penstock.api.errors import Problem

        return Problem.model_validate(self.document)


class ConnectionFailed(ClientError):
    """No answer came from the server: it is down, unreachable or too slow."""

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(f"cannot reach {server}: {reason}")
        self.server = server
        self.reason = reason


class BadReference(ClientError, ValueError):
    """What was given as the name or id of an object can be neither."""


class Unsendable(BadReference):
    """What was given cannot be sent: no UTF-8, or no ASCII in a header."""


class WaitTimeout(ClientError):
    """What was waited for did not happen in time; it may still happen."""


def api_error(status: int, content_type: str, content: bytes, url: str) -> ApiError:
    """The error in an answer, also where something between us and the API wrote that answer."""
    import json  # only here: it takes time to import, and the command knows errors from the start

    document: object = None
    if "json" in content_type:
        try:
            document = json.loads(content)
        except ValueError:
            document = None
    if not isinstance(document, dict) or "code" not in document:
        document = _foreign(status, content, url)
    return ApiError(status, document)


def _foreign(status: int, content: bytes, url: str) -> Document:
    text = content[:200].decode("utf-8", "replace").strip()
    return {
        "type": "about:blank",
        "title": f"HTTP {status}",
        "status": status,
        "detail": f"the answer with status {status} is not from Penstock: {text}",
        "instance": url,
        "code": "foreign_answer",
        "request_id": "",
        "hint": "check the server's address: something else may listen there",
        "retryable": status in (429, 502, 503, 504),
    }
