"""`penstock down`: ends the local cloud and leaves nothing of it running on this machine."""

from __future__ import annotations

import click

from penstock.cli.session import Session


@click.command()
@click.option(
    "--keep-jobs", is_flag=True, help="Leave running replicas alone; they end with their leases."
)
@click.pass_obj
def down(session: Session, keep_jobs: bool) -> None:
    """Stop the cloud on this machine.

    Jobs that run here are cancelled. Jobs with a part on another node are left alone, and named:
    they go on there until their disconnect_grace is over. Jobs that wait stay queued for the next
    `penstock up`.
    """
    from penstock.cli.local.home import Home
    from penstock.cli.local.stopping import take_down

    home = Home(session.settings.home)
    with home.locked():
        notes = take_down(home, keep_jobs=keep_jobs)
    session.console.result("\n".join(notes) or f"nothing is running in {home.path}")
