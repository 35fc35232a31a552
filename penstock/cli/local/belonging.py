"""Which cloud the commands that look around look at (the chosen one, or the node's own), and what
that cloud says of its own parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.cli.config import Context, is_chosen, resolve
from penstock.cli.local.home import Home
from penstock.cli.session import Session

if TYPE_CHECKING:
    from penstock.client.synchronous import DocumentClient


def cloud_of_node(session: Session) -> str | None:
    """The address of the other cloud whose node this machine is; None where it is of its own."""
    return Home(session.settings.home).foreign_cloud()


def cloud_to_look_at(session: Session) -> Context:
    """The server that was chosen; where none was, a node looks at the cloud that it joined."""
    context, cloud = resolve(session.settings), cloud_of_node(session)
    if cloud is None or is_chosen(session.settings):
        return context
    return Context(cloud, session.settings.token)


def unwell_parts(api: DocumentClient) -> dict[str, str]:
    """Parts that are not well while the server is ready, and what is wrong with each.

    Raises ApiError where it is not ready, ConnectionFailed where it does not answer.
    """
    parts = api.ready().get("parts") or {}
    return {name: str(part["message"]) for name, part in parts.items() if not part["ok"]}
