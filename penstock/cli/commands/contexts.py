"""`penstock context`: saved logins, and which of them commands use."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.config import no_such_context, read_contexts, write_contexts
from penstock.cli.options import Format, OutputOption, QuietOption
from penstock.cli.output import columns
from penstock.cli.output.show import show_list
from penstock.cli.session import session_of


def register(group: typer.Typer) -> None:
    group.command("list")(list_contexts)
    group.command("use")(use_context)


def list_contexts(
    ctx: typer.Context, output: OutputOption = Format.TABLE, quiet: QuietOption = False
) -> None:
    """List saved logins; the current one has a star."""
    session = session_of(ctx)
    contexts = read_contexts(session.settings.home)
    documents = [
        {"id": name, "name": name, "server": one.server, "current": name == contexts.current}
        for name, one in contexts.entries.items()
    ]
    show_list(session.console, lambda: documents, columns.CONTEXTS, output, quiet=quiet)


def use_context(
    ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
) -> None:
    """Make a saved login the current one."""
    session = session_of(ctx)
    contexts = read_contexts(session.settings.home)
    if name not in contexts.entries:
        raise no_such_context(name, contexts)
    write_contexts(session.settings.home, contexts.with_entry(name, contexts.entries[name]))
    session.console.result(f"using {name} ({contexts.entries[name].server})")
