"""`penstock node retire` and `join`: how machines leave the pool, and come to it."""

from __future__ import annotations

import sys

import click

from penstock.addresses import host_of, is_loopback
from penstock.api.ids import noun_of
from penstock.api.states import NodeHealth, NodeIntent
from penstock.cli.commands.pool import show_intent
from penstock.cli.config import resolve
from penstock.cli.failures import CliError, ExitCode
from penstock.cli.options import Format, node_argument, output_option, quiet_option
from penstock.cli.output.show import show_data
from penstock.cli.session import Session
from penstock.cli.terminal.text import clean


@click.command()
@node_argument
@click.option("--yes", is_flag=True, help="Also where no other node is left that accepts work.")
@click.pass_obj
def retire(session: Session, node: str, yes: bool) -> None:
    """Take an empty node out for good; its machine may join anew."""
    if not yes and _is_last(session, node):
        _confirm(session, node)
    show_intent(session, session.api().nodes.retire(node))
    session.console.note(
        "  to bring it back: `penstock up` on the machine of the server; for another machine, "
        "`penstock node join`, and there the command that it prints"
    )


@click.command()
@click.option(
    "--token", metavar="TOKEN", help="Join this machine with a token that was made elsewhere."
)
@click.option(
    "--name", metavar="NAME", help="Name of the node; of a new token, the one it is good for."
)
@click.option(
    "--expires-in",
    default="15m",
    metavar="TIME",
    help="How long a new token is good for, at most 1h.",
)
@click.option(
    "--emulate", default="", metavar="TYPE:COUNT,...", help="Emulated chips for this machine."
)
@click.option(
    "--ca-file", metavar="FILE", help="The one CA by which this machine trusts the server."
)
@click.option("--insecure", is_flag=True, help="Join over plain http; the credential is readable.")
@output_option
@quiet_option
@click.pass_obj
def join(
    session: Session,
    token: str | None,
    name: str | None,
    expires_in: str,
    emulate: str,
    ca_file: str | None,
    insecure: bool,
    output: Format,
    quiet: bool,
) -> None:
    """Add a machine to the pool.

    Without --token, makes a single-use token and prints the command to run on the machine. That
    command, with --token, starts a node agent there in the background; `penstock down` stops it.
    """
    if token is not None:
        from penstock.cli.local.home import Home
        from penstock.cli.local.starting import AgentWish, join_this_machine, node_name

        server = resolve(session.settings).server
        wish = AgentWish(server, name or node_name(), emulate, token, ca_file, insecure)
        session.console.result(join_this_machine(Home(session.settings.home), wish))
        return
    made = session.api().nodes.join_token(_wanted(session, name, expires_in))
    if show_data(session.console, made, output):
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
    reached = None if is_loopback(host_of(server)) else server
    wanted = {"expires_in": expires_in, "node_name": name, "server": reached}
    return {key: value for key, value in wanted.items() if value}


def _is_last(session: Session, node: str) -> bool:
    """Whether no other node accepts work."""
    return not any(
        it["intent"]["state"] == NodeIntent.SCHEDULABLE
        and it["health"]["state"] == NodeHealth.READY
        and node != it["id" if noun_of(node) else "name"]
        for it in session.api().nodes.list()
    )


def _confirm(session: Session, node: str) -> None:
    """Asks on a terminal. Raises CliError for a no, and where nobody can be asked."""
    problem = f"without {clean(node)}, no node is left that accepts work"
    asked = sys.stdin.isatty() and session.console.err_is_terminal
    if asked and click.confirm(f"{problem}; retire it?", err=True):
        return
    hint = None if asked else "retire it all the same with --yes"
    raise CliError("last_node", problem, hint=hint, exit_code=ExitCode.FAILED)
