"""`list` and `get` of what is in a pool, and what an operator may do to its nodes and queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import click

from penstock.cli.failures import CliError
from penstock.cli.following.watch import Watch
from penstock.cli.options import (
    Format,
    job_argument,
    names,
    node_argument,
    output_option,
    quiet_option,
    watch_option,
)
from penstock.cli.output import columns
from penstock.cli.output.columns import Column
from penstock.cli.output.show import show_list, show_one
from penstock.cli.session import Session
from penstock.client.requests import Document
from penstock.words import counts

if TYPE_CHECKING:
    from penstock.client.synchronous import DocumentClient

Decorator = Callable[[Callable[..., object]], Callable[..., object]]
Find = Callable[..., Iterable[Document]]
Get = Callable[["DocumentClient", str], Document]


def listing(
    find: Find, shown: Sequence[Column], *filters: Decorator, watched: Sequence[str]
) -> click.Command:
    """A command that lists; `find` is given the client, and the filters by their names. What is
    `watched` are the nouns that it tells of.
    """

    def run(
        session: Session, output: Format, quiet: bool, watch: Watch | None, **by: str | None
    ) -> None:
        show_list(
            session.console,
            lambda: list(find(session.api(), **by)),
            shown,
            output,
            quiet=quiet,
            watch=watch,
        )

    return _command(run, *filters, output_option, watch_option(*watched), quiet_option)


def getting(get: Get, argument: Decorator, *watched: str) -> click.Command:
    """A command that shows the one object that its argument names."""

    def run(session: Session, output: Format, watch: Watch | None, **named: str) -> None:
        (ref,) = named.values()
        show_one(session.console, lambda: get(session.api(), ref), output, watch=watch)

    return _command(run, argument, output_option, watch_option(*watched))


def intending(change: Get) -> click.Command:
    """A command that says what is wanted of a node."""

    def run(session: Session, node: str) -> None:
        show_intent(session, change(session.api(), node))

    return _command(run, node_argument)


def show_intent(session: Session, node: Document) -> None:
    """What is wanted of the node now, and why."""
    intent = node["intent"]
    message = f": {intent['message']}" if intent.get("message") else ""
    session.console.result(f"{node['name']} is {intent['state']}{message}")


def _command(run: Callable[..., object], *options: Decorator) -> click.Command:
    made: Callable[..., object] = click.pass_obj(run)
    for option in reversed(options):
        made = option(made)
    return click.command(made)


def _argument(name: str, **more: str) -> Decorator:
    suggest = names(f"{name}s")
    return click.argument(name, metavar=name.upper(), shell_complete=suggest, **more)  # type: ignore[arg-type]


def _filter(name: str, about: str, noun: str, *fields: str) -> Decorator:
    return click.option(
        f"--{name}", metavar=name.upper(), help=about, shell_complete=names(noun, *fields)
    )


def _retired(about: str) -> Decorator:
    return click.option("--all", "retired", flag_value="true", default=None, help=about)


def _types(api: DocumentClient) -> Iterable[Document]:
    return ({"id": it["type"], "name": it["type"], **it} for it in api.chips.types())


_CHIP_FILTERS: Final = (
    _filter("node", "Only those of this node.", "nodes"),
    _filter("vendor", "Only those of this vendor.", "chip types", "vendor"),
    _filter("type", "Only this chip type.", "chip types", "type"),
    _retired("Also those of nodes that were retired."),
)
list_nodes = listing(
    lambda api, **by: api.nodes.list(**by),
    columns.NODES,
    _retired("Also those that were retired."),
    watched=("node",),
)
list_chips = listing(
    lambda api, **by: api.chips.list(**by), columns.CHIPS, *_CHIP_FILTERS, watched=("node",)
)
list_types = listing(_types, columns.CHIP_TYPES, watched=("node",))
list_queues = listing(lambda api: api.queues.list(), columns.QUEUES, watched=("queue", "job"))
list_endpoints = listing(
    lambda api: api.endpoints.list(), columns.ENDPOINTS, watched=("endpoint", "job")
)
list_projects = listing(lambda api: api.projects.list(), columns.PROJECTS, watched=("project",))
list_tokens = listing(lambda api: api.tokens.list(), columns.TOKENS, watched=("token",))

get_job = getting(lambda api, ref: api.jobs.get(ref), job_argument, "job")
get_node = getting(lambda api, ref: api.nodes.get(ref), node_argument, "node")
get_chip = getting(lambda api, ref: api.chips.get(ref), _argument("chip", help="Its id."), "node")
get_queue = getting(lambda api, ref: api.queues.get(ref), _argument("queue"), "queue", "job")
get_endpoint = getting(
    lambda api, ref: api.endpoints.get(ref), _argument("endpoint"), "endpoint", "job"
)

cordon = intending(lambda api, ref: api.nodes.cordon(ref))
uncordon = intending(lambda api, ref: api.nodes.uncordon(ref))
drain = intending(lambda api, ref: api.nodes.drain(ref))


@click.command()
@_argument("queue")
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
