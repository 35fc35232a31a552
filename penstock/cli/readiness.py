"""What the server says of its own parts, as `doctor` and `status` show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.client import routes

if TYPE_CHECKING:
    from penstock.client.http import Http


def unwell_parts(http: Http) -> dict[str, str]:
    """Parts that are not well while the server is ready, and what is wrong with each.

    Raises ApiError where it is not ready, ConnectionFailed where it does not answer.
    """
    answer: dict[str, Any] = http.document(routes.probe("/readyz"))
    parts: dict[str, Any] = answer.get("parts") or {}
    return {name: str(part["message"]) for name, part in parts.items() if not part["ok"]}
