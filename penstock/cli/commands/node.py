"""`penstock node`: the machines of the pool, and what an operator may do to one."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from penstock.addresses import host_of, is_loopback
from penstock.api.ids import noun_of
from penstock.api.states import NodeHealth, NodeIntent
from penstock.cli.config import resolve
from penstock.cli.failures import CliError, ExitCode
from penstock.cli.options import (
    Format,
    NodeArgument,
    OutputOption,
    QuietOption,
    WatchOption,
)
from penstock.cli.output import columns
from penstock.cli.output.show import data_text, show_list, show_one
from penstock.cli.session import Session, session_of
from penstock.cli.terminal.text import clean
from penstock.client import routes


def register(group: typer.Typer) -> None:
    group.command("list")(list_nodes)
    group.command("get")(get_node)
    group.command()(cordon)
    group.command()(uncordon)
    group.command()(drain)
    group.command()(retire)
    group.command()(join)


def list_nodes(
    ctx: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that were retired.")
    ] = False,
    output: OutputOption = Format.TABLE,
    watch: WatchOption = False,
    quiet: QuietOption = False,
) -> None:
    """List nodes: observed health, the operator's intent, what is free."""
    session = session_of(ctx)
    request = routes.read("nodes", params={"retired": "true" if everything else None})
    show_list(
        session.console,
        lambda: list(session.http().items(request)),
        columns.NODES,
        output,
        quiet=quiet,
        watch=watch,
    )


def get_node(
    ctx: typer.Context,
    node: NodeArgument,
    output: OutputOption = Format.TABLE,
    watch: WatchOption = False,
) -> None:
    """Show one node with its labels, limits and devices left out."""
    session = session_of(ctx)
    request = routes.read("nodes", node)
    show_one(session.console, lambda: session.http().document(request), output, watch=watch)


def cordon(ctx: typer.Context, node: NodeArgument) -> None:
    """Place nothing new on the node; what runs there goes on."""
    _intend(ctx, node, "cordon")


def uncordon(ctx: typer.Context, node: NodeArgument) -> None:
    """Let the node take work again."""
    _intend(ctx, node, "uncordon")


def drain(ctx: typer.Context, node: NodeArgument) -> None:
    """Place nothing new on the node, and move what runs there elsewhere."""
    _intend(ctx, node, "drain")


def retire(
    ctx: typer.Context,
    node: NodeArgument,
    yes: Annotated[
        bool, typer.Option("--yes", help="Also where no other node is left that accepts work.")
    ] = False,
) -> None:
    """Take an empty node out for good; its machine may join anew."""
    session = session_of(ctx)
    if not yes and _is_last(session, node):
        _confirm(session, node)
    _intend(ctx, node, "retire")
    session.console.note(
        "  to bring it back: `penstock up` on the machine of the server; for another machine, "
        "`penstock node join`, and there the command that it prints"
    )


def join(
    ctx: typer.Context,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN", help="Join this machine with a token that was made elsewhere."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of the node; of a new token, the one it is good for."
        ),
    ] = None,
    expires_in: Annotated[
        str, typer.Option(metavar="TIME", help="How long a new token is good for, at most 1h.")
    ] = "15m",
    emulate: Annotated[
        str, typer.Option(metavar="TYPE:COUNT,...", help="Emulated chips for this machine.")
    ] = "",
    ca_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The one CA by which this machine trusts the server."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Join over plain http; the credential is readable.")
    ] = False,
    output: OutputOption = Format.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Add a machine to the pool.

    Without --token, makes a single-use token and prints the command to run on the machine. That
    command, with --token, starts a node agent there in the background; `penstock down` stops it.
    """
    session = session_of(ctx)
    if token is not None:
        from penstock.cli.local.joining import Join, join_this_machine

        given = Join(token, name, emulate, ca_file, insecure)
        session.console.result(join_this_machine(session, given))
        return
    made = session.http().document(routes.create("join-tokens", _wanted(session, name, expires_in)))
    if output in (Format.JSON, Format.YAML):
        session.console.result(data_text(session.console, made, output))
        return
    if not quiet:
        session.console.note(f"run this on the new node before {made['expires_at']}:")
    session.console.result(made["token"] if quiet else made["command"])
    if not quiet and made.get("note"):
        session.console.note(f"warning: {made['note']}")


def _wanted(session: Session, name: str | None, expires_in: str) -> dict[str, str]:
    """The server is told by which address it was reached, which a proxy may hide from it; over
    loopback it knows better.
    """
    server = resolve(session.settings).server
    told = None if is_loopback(host_of(server)) else server
    wanted = {"expires_in": expires_in, "node_name": name, "server": told}
    return {key: value for key, value in wanted.items() if value}


def _is_last(session: Session, node: str) -> bool:
    """Whether no other node accepts work."""
    return not any(
        it["intent"]["state"] == NodeIntent.SCHEDULABLE
        and it["health"]["state"] == NodeHealth.READY
        and node != it["id" if noun_of(node) else "name"]
        for it in session.http().items(routes.read("nodes"))
    )


def _confirm(session: Session, node: str) -> None:
    """Asks on a terminal. Raises CliError for a no, and where nobody can be asked."""
    problem = f"without {clean(node)}, no node is left that accepts work"
    asked = sys.stdin.isatty() and session.console.err_is_terminal
    if asked and typer.confirm(f"{problem}; retire it?", err=True):
        return
    hint = None if asked else "retire it all the same with --yes"
    raise CliError("last_node", problem, hint=hint, exit_code=ExitCode.FAILED)


def _intend(ctx: typer.Context, node: str, verb: str) -> None:
    session = session_of(ctx)
    document = session.http().document(routes.act("nodes", node, verb))
    intent = document["intent"]
    message = f": {intent['message']}" if intent.get("message") else ""
    session.console.result(f"{document['name']} is {intent['state']}{message}")
