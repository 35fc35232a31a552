"""Which cloud the commands that look around look at: the chosen one, or the node's own."""

from __future__ import annotations

from penstock.cli.config import Context, is_chosen, resolve
from penstock.cli.local.home import Home
from penstock.cli.session import Session


def cloud_of_node(session: Session) -> str | None:
    """The address of the other cloud whose node this machine is; None where it is of its own."""
    return Home(session.settings.home).foreign_cloud()


def cloud_to_look_at(session: Session) -> Context:
    """The server that was chosen; where none was, a node looks at the cloud that it joined."""
    context, cloud = resolve(session.settings), cloud_of_node(session)
    if cloud is None or is_chosen(session.settings):
        return context
    return Context(cloud, session.settings.token)
