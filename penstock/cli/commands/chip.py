"""`penstock chip`: every chip of the pool, and the types they are of."""

from __future__ import annotations

import click

from penstock.cli.options import Format, names, output_option, quiet_option, watch_option
from penstock.cli.output import columns
from penstock.cli.output.show import show_list, show_one
from penstock.cli.session import Session
from penstock.client.requests import Document


@click.command()
@click.option(
    "--node", metavar="NODE", help="Only those of this node.", shell_complete=names("nodes")
)
@click.option(
    "--vendor",
    metavar="VENDOR",
    help="Only those of this vendor.",
    shell_complete=names("chip types", "vendor"),
)
@click.option(
    "--type",
    "chip_type",
    metavar="TYPE",
    help="Only this chip type.",
    shell_complete=names("chip types", "type"),
)
@click.option("--all", "everything", is_flag=True, help="Also those of nodes that were retired.")
@output_option
@watch_option
@quiet_option
@click.pass_obj
def list_chips(
    session: Session,
    node: str | None,
    vendor: str | None,
    chip_type: str | None,
    everything: bool,
    output: Format,
    watch: bool,
    quiet: bool,
) -> None:
    """List chips: what they are, how they are, and which jobs hold them."""
    filters = {
        "node": node,
        "vendor": vendor,
        "type": chip_type,
        "retired": "true" if everything else None,
    }
    show_list(
        session.console,
        lambda: list(session.api().chips.list(**filters)),
        columns.CHIPS,
        output,
        quiet=quiet,
        watch=watch,
    )


@click.command()
@click.argument("chip", metavar="CHIP", help="Its id.", shell_complete=names("chips"))
@output_option
@watch_option
@click.pass_obj
def get_chip(session: Session, chip: str, output: Format, watch: bool) -> None:
    """Show one chip with its measured rates and where each number came from."""
    show_one(session.console, lambda: session.api().chips.get(chip), output, watch=watch)


@click.command()
@output_option
@watch_option
@click.pass_obj
def list_types(session: Session, output: Format, watch: bool) -> None:
    """List chip types: how many there are, how many are healthy, how much is free."""
    show_list(
        session.console,
        lambda: [_named(it) for it in session.api().chips.types()],
        columns.CHIP_TYPES,
        output,
        watch=watch,
    )


def _named(document: Document) -> Document:
    return {"id": document["type"], "name": document["type"], **document}
