"""`penstock complete-words`: what the completion scripts of shells ask for."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.completing import candidates
from penstock.cli.session import session_of


def register(group: typer.Typer) -> None:
    group.command("complete-words", hidden=True)(complete_words)


def complete_words(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
) -> None:
    """Print what may stand in place of the last of these words."""
    import typer.main

    from penstock.cli.app import build

    session = session_of(ctx)
    found = candidates(session, typer.main.get_command(build()), list(words or [""]))
    if found:
        session.console.result("\n".join(found))
