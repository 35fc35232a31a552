"""`penstock up`: a whole cloud on this machine, in one command."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.session import session_of

NO_CHIPS = "none"


def register(group: typer.Typer) -> None:
    group.command()(up)


def up(
    ctx: typer.Context,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", help="Default: 8470 or the next free one; 0: any.", min=0, max=65535
        ),
    ] = None,
    emulate: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE:COUNT,...",
            help="Emulated chips to present, or none. Default, if no accelerator is found: "
            "emulated-a100:2,emulated-910b:2.",
        ),
    ] = None,
    no_agent: Annotated[bool, typer.Option("--no-agent", help="Only the server.")] = False,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="No tokens; only on loopback.")
    ] = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, show the server's log, stop with ctrl-C.")
    ] = False,
) -> None:
    """Start a cloud on this machine, in the background.

    It is a server and a node agent. Running it again starts only what is not running.
    """
    from penstock.cli.local.accelerators import check_emulated
    from penstock.cli.local.bringup import BringUp
    from penstock.cli.local.foreground import stay
    from penstock.cli.local.home import Home
    from penstock.cli.local.starting import Wish, check_host

    if emulate not in (None, "", NO_CHIPS):
        check_emulated(emulate)
    chips = "" if emulate == NO_CHIPS else emulate
    wish = Wish(host=host, port=port, auth=not no_auth, emulate=chips)
    check_host(wish)
    session = session_of(ctx)
    home = Home(session.settings.home)
    with home.locked():
        BringUp(session, home, wish).run(with_agent=not no_agent)
    if foreground:
        stay(session, home)
