"""What the server says of its own parts, as `doctor` and `status` show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.client import routes
from penstock.client.requests import Document

if TYPE_CHECKING:
    from penstock.client.http import Http


def unwell_parts(http: Http) -> dict[str, str]:
    """Parts that are not well while the server is ready, and what is wrong with each.

    Raises ApiError where it is not ready, ConnectionFailed where it does not answer.
    """
    answer: Document = http.document(routes.probe("/readyz"))
    parts: Document = answer.get("parts") or {}
    return {name: str(part["message"]) for name, part in parts.items() if not part["ok"]}
