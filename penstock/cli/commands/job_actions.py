"""`penstock job cancel`, `retry`, `wait`."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.failures import ExitCode, exit_code_of, render
from penstock.cli.following.follow import follow, wait_for_end
from penstock.cli.options import (
    ExitStatusOption,
    Format,
    JobArgument,
    JobsArgument,
    OutputOption,
    QuietOption,
)
from penstock.cli.output.show import data_text
from penstock.cli.session import session_of
from penstock.client import routes
from penstock.client.errors import ApiError


def register(group: typer.Typer) -> None:
    group.command()(cancel)
    group.command()(retry)
    group.command()(wait)


def cancel(
    ctx: typer.Context,
    jobs: JobsArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until they have ended.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Cancel jobs. Cancelling one that was cancelled already changes nothing."""
    session = session_of(ctx)
    session.console.quiet = quiet
    cancelled = []
    worst = ExitCode.DONE
    for ref in jobs:
        try:
            job = session.http().document(routes.cancel_job(ref))
        except ApiError as error:
            session.console.error(render(error))
            worst = max(worst, exit_code_of(error))
        else:
            cancelled.append(job)
            session.console.note(f"{job['name']} is {job['state']}")
    if wait:
        wait_for_end(session, cancelled, exit_status=False)
    raise typer.Exit(worst)


def retry(
    ctx: typer.Context,
    job: JobArgument,
    follow_logs: Annotated[
        bool, typer.Option("--follow", "-f", help="Print its output until it has ended.")
    ] = False,
    exit_status: ExitStatusOption = False,
    output: OutputOption = Format.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Submit a job again, as a new one linked to it."""
    session = session_of(ctx)
    session.console.quiet = quiet
    made = session.http().document(routes.retry_job(job))
    if output in (Format.JSON, Format.YAML):
        session.console.result(data_text(session.console, made, output))
    elif output == Format.NAME or quiet:
        session.console.result(made["id"] if quiet else made["name"])
    else:
        session.console.note(f"submitted {made['name']} ({made['id']}) as a retry of {job}")
    if follow_logs:
        raise typer.Exit(follow(session, made, exit_status=exit_status))


def wait(
    ctx: typer.Context,
    jobs: JobsArgument,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Give up after so many seconds, with exit code 1.", min=0
        ),
    ] = None,
    exit_status: ExitStatusOption = False,
    quiet: QuietOption = False,
) -> None:
    """Wait until jobs have ended. Exits 0 if all succeeded, else 1."""
    session = session_of(ctx)
    session.console.quiet = quiet
    found = [session.http().document(routes.read("jobs", ref)) for ref in jobs]
    raise typer.Exit(wait_for_end(session, found, exit_status=exit_status, timeout_s=timeout))
