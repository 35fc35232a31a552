"""`penstock version`: of this client and of the server it talks to."""

from __future__ import annotations

import click

from penstock import __version__
from penstock.cli.options import Format, output_option
from penstock.cli.output.show import show_one
from penstock.cli.session import Session
from penstock.client.errors import ClientError
from penstock.client.requests import Document


@click.command()
@output_option
@click.pass_obj
def version(session: Session, output: Format) -> None:
    """Show the versions of client and server."""
    document: Document = {"name": __version__, "client": __version__, "server": None}
    try:
        document["server"] = session.api().alive().get("version")
    except ClientError:
        document["server"] = "not reachable"
    if output in (Format.TABLE, Format.WIDE):
        document.pop("name")
    show_one(session.console, lambda: document, output)
