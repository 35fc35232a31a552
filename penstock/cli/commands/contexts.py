"""`penstock context`: saved logins, and which of them commands use."""

from __future__ import annotations

import click

from penstock.cli.config import no_such_context, read_contexts, write_contexts
from penstock.cli.options import Format, output_option, quiet_option
from penstock.cli.output import columns
from penstock.cli.output.show import show_list
from penstock.cli.session import Session


@click.command()
@output_option
@quiet_option
@click.pass_obj
def list_contexts(session: Session, output: Format, quiet: bool) -> None:
    """List saved logins; the current one has a star."""
    contexts = read_contexts(session.settings.home)
    documents = [
        {"id": name, "name": name, "server": one.server, "current": name == contexts.current}
        for name, one in contexts.entries.items()
    ]
    show_list(session.console, lambda: documents, columns.CONTEXTS, output, quiet=quiet)


@click.command()
@click.argument("name", metavar="NAME")
@click.pass_obj
def use_context(session: Session, name: str) -> None:
    """Make a saved login the current one."""
    contexts = read_contexts(session.settings.home)
    if name not in contexts.entries:
        raise no_such_context(name, contexts)
    write_contexts(session.settings.home, contexts.with_entry(name, contexts.entries[name]))
    session.console.result(f"using {name} ({contexts.entries[name].server})")
