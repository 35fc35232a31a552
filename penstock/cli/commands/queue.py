"""`penstock queue`: queues, listed and shown."""

from __future__ import annotations

from collections.abc import Sequence

import click

from penstock.cli.failures import CliError
from penstock.cli.options import Format, names, output_option, quiet_option, watch_option
from penstock.cli.output import columns
from penstock.cli.output.show import show_list, show_one
from penstock.cli.session import Session
from penstock.words import counts

_queue_argument = click.argument("queue", metavar="QUEUE", shell_complete=names("queues"))


@click.command()
@output_option
@watch_option
@quiet_option
@click.pass_obj
def list_queues(session: Session, output: Format, watch: bool, quiet: bool) -> None:
    """List queues with what they use and may use."""
    show_list(
        session.console,
        lambda: list(session.api().queues.list()),
        columns.QUEUES,
        output,
        quiet=quiet,
        watch=watch,
    )


@click.command()
@_queue_argument
@output_option
@watch_option
@click.pass_obj
def get_queue(session: Session, queue: str, output: Format, watch: bool) -> None:
    """Show one queue."""
    show_one(session.console, lambda: session.api().queues.get(queue), output, watch=watch)


@click.command()
@_queue_argument
@click.argument("limits", nargs=-1, metavar="[TYPE:COUNT]...", help="`any` is all types together.")
@click.pass_obj
def set_queue(session: Session, queue: str, limits: Sequence[str]) -> None:
    """Say how many chips a queue's jobs may hold at once; makes the queue if there is none.

    What is not named is not limited: without limits, the queue has none.
    """
    made = session.api().queues.set_limits(queue, _limits(limits))
    session.console.result(f"{made['name']}: {counts(made['limits'])}")


def _limits(words: Sequence[str]) -> dict[str, int]:
    made = {}
    for word in words:
        name, _, count = word.rpartition(":")
        if not name or not count.isdecimal():
            raise CliError("bad_limit", f"a limit must be TYPE:COUNT such as any:8, not `{word}`")
        made[name] = int(count)
    return made
