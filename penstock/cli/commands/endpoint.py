"""`penstock endpoint`: endpoints, listed and shown."""

from __future__ import annotations

import click

from penstock.cli.options import Format, names, output_option, quiet_option, watch_option
from penstock.cli.output import columns
from penstock.cli.output.show import show_list, show_one
from penstock.cli.session import Session


@click.command()
@output_option
@watch_option
@quiet_option
@click.pass_obj
def list_endpoints(session: Session, output: Format, watch: bool, quiet: bool) -> None:
    """List endpoints."""
    show_list(
        session.console,
        lambda: list(session.api().endpoints.list()),
        columns.ENDPOINTS,
        output,
        quiet=quiet,
        watch=watch,
    )


@click.command()
@click.argument("endpoint", metavar="ENDPOINT", shell_complete=names("endpoints"))
@output_option
@watch_option
@click.pass_obj
def get_endpoint(session: Session, endpoint: str, output: Format, watch: bool) -> None:
    """Show one endpoint with its replicas."""
    show_one(session.console, lambda: session.api().endpoints.get(endpoint), output, watch=watch)
