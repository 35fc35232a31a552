"""`penstock logout`: forgets a saved login."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.config import no_such_context, read_contexts, write_contexts
from penstock.cli.session import session_of


def register(group: typer.Typer) -> None:
    group.command()(logout)


def logout(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Default: the current one.")
    ] = None,
) -> None:
    """Forget a saved login."""
    session = session_of(ctx)
    contexts = read_contexts(session.settings.home)
    chosen = name or contexts.current
    if chosen is None or chosen not in contexts.entries:
        raise no_such_context(chosen, contexts)
    write_contexts(session.settings.home, contexts.without(chosen))
    session.console.result(f"forgot {chosen}")
