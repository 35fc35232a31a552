"""`penstock chip`: every chip of the pool, and the types they are of."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.options import Format, OutputOption, QuietOption, WatchOption
from penstock.cli.output import columns
from penstock.cli.output.show import show_list, show_one
from penstock.cli.session import session_of
from penstock.client import routes


def register(group: typer.Typer) -> None:
    group.command("list")(list_chips)
    group.command("get")(get_chip)
    group.command("types")(list_types)


def list_chips(
    ctx: typer.Context,
    node: Annotated[
        str | None, typer.Option(metavar="NODE", help="Only those of this node.")
    ] = None,
    vendor: Annotated[
        str | None, typer.Option(metavar="VENDOR", help="Only those of this vendor.")
    ] = None,
    chip_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only this chip type.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those of nodes that were retired.")
    ] = False,
    output: OutputOption = Format.TABLE,
    watch: WatchOption = False,
    quiet: QuietOption = False,
) -> None:
    """List chips: what they are, how they are, and which jobs hold them."""
    session = session_of(ctx)
    filters = {
        "node": node, "vendor": vendor, "type": chip_type,
        "retired": "true" if everything else None,
    }  # fmt: skip
    request = routes.read("chips", params=filters)
    show_list(
        session.console,
        lambda: list(session.http().items(request)),
        columns.CHIPS,
        output,
        quiet=quiet,
        watch=watch,
    )


def get_chip(
    ctx: typer.Context,
    chip: Annotated[str, typer.Argument(metavar="CHIP", help="Its id.", show_default=False)],
    output: OutputOption = Format.TABLE,
    watch: WatchOption = False,
) -> None:
    """Show one chip with its measured rates and where each number came from."""
    session = session_of(ctx)
    request = routes.read("chips", chip)
    show_one(session.console, lambda: session.http().document(request), output, watch=watch)


def list_types(
    ctx: typer.Context, output: OutputOption = Format.TABLE, watch: WatchOption = False
) -> None:
    """List chip types: how many there are, how many are healthy, how much is free."""
    session = session_of(ctx)
    show_list(
        session.console,
        lambda: [_named(it) for it in session.http().items(routes.read("chip-types"))],
        columns.CHIP_TYPES,
        output,
        watch=watch,
    )


def _named(document: columns.Document) -> columns.Document:
    return {"id": document["type"], "name": document["type"], **document}
