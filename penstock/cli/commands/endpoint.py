"""`penstock endpoint`: endpoints, listed and shown."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.options import Format, OutputOption, QuietOption, WatchOption
from penstock.cli.output import columns
from penstock.cli.output.show import show_list, show_one
from penstock.cli.session import session_of
from penstock.client import routes


def register(group: typer.Typer) -> None:
    group.command("list")(list_endpoints)
    group.command("get")(get_endpoint)


def list_endpoints(
    ctx: typer.Context,
    output: OutputOption = Format.TABLE,
    watch: WatchOption = False,
    quiet: QuietOption = False,
) -> None:
    """List endpoints."""
    session = session_of(ctx)
    show_list(
        session.console,
        lambda: list(session.http().items(routes.read("endpoints"))),
        columns.ENDPOINTS,
        output,
        quiet=quiet,
        watch=watch,
    )


def get_endpoint(
    ctx: typer.Context,
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", show_default=False)],
    output: OutputOption = Format.TABLE,
    watch: WatchOption = False,
) -> None:
    """Show one endpoint with its replicas."""
    session = session_of(ctx)
    request = routes.read("endpoints", endpoint)
    show_one(session.console, lambda: session.http().document(request), output, watch=watch)
