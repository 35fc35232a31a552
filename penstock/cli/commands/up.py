"""`penstock up`: a whole cloud on this machine, in one command."""

from __future__ import annotations

import click

from penstock.cli.session import Session

NO_CHIPS = "none"


@click.command()
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Default: 8470 or the next free one; 0: any.",
)
@click.option(
    "--emulate",
    metavar="TYPE:COUNT,...",
    help="Emulated chips to present, or none. Default, if no accelerator is found: "
    "emulated-a100:2,emulated-910b:2.",
)
@click.option("--no-agent", is_flag=True, help="Only the server.")
@click.option("--no-auth", is_flag=True, help="No tokens; only on loopback.")
@click.option("--foreground", is_flag=True, help="Stay, show the server's log, stop with ctrl-C.")
@click.pass_obj
def up(
    session: Session,
    host: str,
    port: int | None,
    emulate: str | None,
    no_agent: bool,
    no_auth: bool,
    foreground: bool,
) -> None:
    """Start a cloud on this machine, in the background.

    It is a server and a node agent. Running it again starts only what is not running.
    """
    from penstock.cli.local.accelerators import check_emulated
    from penstock.cli.local.bringup import BringUp
    from penstock.cli.local.foreground import stay
    from penstock.cli.local.home import Home
    from penstock.cli.local.starting import Wish, check_host

    if emulate and emulate != NO_CHIPS:
        check_emulated(emulate)
    chips = "" if emulate == NO_CHIPS else emulate
    wish = Wish(host=host, port=port, auth=not no_auth, emulate=chips)
    check_host(wish)
    home = Home(session.settings.home)
    with home.locked():
        BringUp(session, home, wish).run(with_agent=not no_agent)
    if foreground:
        stay(session, home)
