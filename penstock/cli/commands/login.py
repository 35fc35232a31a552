"""`penstock login`: checks a token and saves it."""

from __future__ import annotations

import sys

import click

from penstock.cli.config import DEFAULT_SERVER, Context, read_contexts, write_contexts
from penstock.cli.failures import CliError
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
