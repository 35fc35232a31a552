"""`penstock version`: of this client and of the server it talks to."""

from __future__ import annotations

from typing import Any

import typer

from penstock import __version__
from penstock.cli.options import Format, OutputOption
from penstock.cli.output.show import show_one
from penstock.cli.session import session_of
from penstock.client import routes
from penstock.client.errors import ClientError


def register(group: typer.Typer) -> None:
    group.command()(version)


def version(ctx: typer.Context, output: OutputOption = Format.TABLE) -> None:
    """Show the versions of client and server."""
    session = session_of(ctx)
    document: dict[str, Any] = {"name": __version__, "client": __version__, "server": None}
    try:
        document["server"] = session.http().document(routes.probe("/healthz")).get("version")
    except ClientError:
        document["server"] = "not reachable"
    if output in (Format.TABLE, Format.WIDE):
        document.pop("name")
    show_one(session.console, lambda: document, output)
