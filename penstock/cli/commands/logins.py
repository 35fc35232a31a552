"""`penstock login`, `logout` and `context`: a token is checked and saved, used, forgotten."""

from __future__ import annotations

import sys

import click

from penstock.cli.config import (
    DEFAULT_SERVER,
    Context,
    no_such_context,
    read_contexts,
    write_contexts,
)
from penstock.cli.failures import CliError
from penstock.cli.options import Format, output_option, quiet_option
from penstock.cli.output import columns
from penstock.cli.output.show import show_list
from penstock.cli.session import Session, open_api


@click.command()
@click.argument(
    "url",
    default=DEFAULT_SERVER,
    metavar="[URL]",
    help=f"Address of the API; default: {DEFAULT_SERVER}.",
)
@click.option(
    "--token", metavar="TOKEN", help="The token; `-` reads it from stdin. Asked for when left out."
)
@click.option("--name", metavar="NAME", help="Name to save it under; default: the server's host.")
@click.pass_obj
def login(session: Session, url: str, token: str | None, name: str | None) -> None:
    """Save a server and a token for later commands.

    The token is checked first.
    """
    context = Context(url.rstrip("/"), _secret(token))
    with open_api(context) as api:
        identity = api.whoami()
    saved = name or context.server.partition("://")[2].partition("/")[0]
    home = session.settings.home
    write_contexts(home, read_contexts(home).with_entry(saved, context))
    role = f"{identity['role']} of {identity['project']}" if identity["project"] else "admin"
    session.console.result(f"logged in to {context.server} as {identity['name']} ({role})")


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


def _secret(given: str | None) -> str:
    """The token from the option, from stdin, or typed without echo."""
    if given == "-" or (given is None and not sys.stdin.isatty()):
        given = sys.stdin.readline().strip()
    elif given is None:
        import getpass

        given = getpass.getpass("token: ").strip()
    if not given:
        raise CliError("no_token", "a token is needed", hint="penstock login URL --token TOKEN")
    return given
