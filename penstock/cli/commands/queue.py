"""`penstock queue`: queues, listed and shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from penstock.cli.failures import CliError
from penstock.cli.options import Format, OutputOption, QuietOption, WatchOption
from penstock.cli.output import columns
from penstock.cli.output.show import show_list, show_one
from penstock.cli.session import session_of
from penstock.client import routes
from penstock.words import counts


def register(group: typer.Typer) -> None:
    group.command("list")(list_queues)
    group.command("get")(get_queue)
    group.command("set")(set_queue)


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


def set_queue(
    ctx: typer.Context,
    queue: Annotated[str, typer.Argument(metavar="QUEUE", show_default=False)],
    limits: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TYPE:COUNT]...", help="`any` is all types together."),
    ] = None,
) -> None:
    """Say how many chips a queue's jobs may hold at once; makes the queue if there is none.

    What is not named is not limited: without limits, the queue has none.
    """
    session = session_of(ctx)
    made = session.http().document(routes.set_queue(queue, _limits(limits or ())))
    session.console.result(f"{made['name']}: {counts(made['limits'])}")


def _limits(words: Sequence[str]) -> dict[str, int]:
    made = {}
    for word in words:
        name, _, count = word.rpartition(":")
        if not name or not count.isdecimal():
            raise CliError("bad_limit", f"a limit must be TYPE:COUNT such as any:8, not `{word}`")
        made[name] = int(count)
    return made
