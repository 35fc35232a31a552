"""`penstock queue`: queues, listed and shown."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli import columns
from penstock.cli.options import Format, OutputOption, QuietOption, WatchOption
from penstock.cli.output import show_list, show_one
from penstock.cli.session import session_of
from penstock.client import routes


def register(group: typer.Typer) -> None:
    group.command("list")(list_queues)
    group.command("get")(get_queue)


def list_queues(
    ctx: typer.Context,
    output: OutputOption = Format.TABLE,
    watch: WatchOption = False,
    quiet: QuietOption = False,
) -> None:
    """List queues with what they use and may use."""
    session = session_of(ctx)
    show_list(
        session.console,
        lambda: list(session.http().items(routes.read("queues"))),
        columns.QUEUES,
        output,
        quiet=quiet,
        watch=watch,
    )


def get_queue(
    ctx: typer.Context,
    queue: Annotated[str, typer.Argument(metavar="QUEUE", show_default=False)],
    output: OutputOption = Format.TABLE,
    watch: WatchOption = False,
) -> None:
    """Show one queue."""
    session = session_of(ctx)
    request = routes.read("queues", queue)
    show_one(session.console, lambda: session.http().document(request), output, watch=watch)
