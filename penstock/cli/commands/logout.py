"""`penstock logout`: forgets a saved login."""

from __future__ import annotations

import click

from penstock.cli.config import no_such_context, read_contexts, write_contexts
from penstock.cli.session import Session


@click.command()
@click.argument("name", required=False, metavar="[NAME]", help="Default: the current one.")
@click.pass_obj
def logout(session: Session, name: str | None) -> None:
    """Forget a saved login."""
    contexts = read_contexts(session.settings.home)
    chosen = name or contexts.current
    if chosen is None or chosen not in contexts.entries:
        raise no_such_context(chosen, contexts)
    write_contexts(session.settings.home, contexts.without(chosen))
    session.console.result(f"forgot {chosen}")
