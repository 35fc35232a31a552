"""`penstock down`: ends the local cloud and leaves nothing of it running."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.session import session_of


def register(group: typer.Typer) -> None:
    group.command()(down)


def down(
    ctx: typer.Context,
    keep_jobs: Annotated[
        bool,
        typer.Option(
            "--keep-jobs", help="Leave running replicas alone; they end with their leases."
        ),
    ] = False,
) -> None:
    """Stop the cloud on this machine.

    Running jobs are cancelled; jobs that wait stay queued for the next `penstock up`.
    """
    from penstock.cli.config import Context
    from penstock.cli.local.home import Home
    from penstock.cli.local.stopping import stop_daemons, stop_jobs, stop_replicas

    session = session_of(ctx)
    home = Home(session.settings.home)
    with home.locked():
        server = home.server()
        told = []
        if server is not None and not keep_jobs:
            names = stop_jobs(Context(server.url, home.admin_token()))
            told += [f"stopped running jobs: {', '.join(names)}"] if names else []
        told += stop_daemons(home)
        if not keep_jobs and (left := stop_replicas(home)):
            told.append(f"stopped {left} replicas that were still running")
    session.console.result("\n".join(told) or f"nothing is running in {home.path}")
