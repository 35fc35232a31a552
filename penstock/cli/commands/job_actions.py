"""`penstock job cancel`, `retry`, `wait`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from penstock.cli.failures import ExitCode, exit_code_of, render
from penstock.cli.following.follow import follow as stay_with
from penstock.cli.following.follow import wait_for_end
from penstock.cli.options import (
    Format,
    exit_status_option,
    follow_option,
    job_argument,
    jobs_argument,
    output_option,
    quiet_option,
)
from penstock.cli.output.show import show_short
from penstock.cli.session import Session
from penstock.client.errors import ApiError


@click.command()
@jobs_argument
@click.option("--wait", is_flag=True, help="Wait until they have ended.")
@quiet_option
@click.pass_obj
def cancel(session: Session, jobs: Sequence[str], wait: bool, quiet: bool) -> int:
    """Cancel jobs. Cancelling one that was cancelled already changes nothing."""
    session.console.quiet = quiet
    cancelled = []
    worst = ExitCode.DONE
    for ref in jobs:
        try:
            job = session.api().jobs.cancel(ref)
        except ApiError as error:
            session.console.error(render(error))
            worst = max(worst, exit_code_of(error))
        else:
            cancelled.append(job)
            session.console.note(f"{job['name']} is {job['state']}")
    if wait:
        wait_for_end(session, cancelled, exit_status=False)
    return worst


@click.command()
@job_argument
@follow_option
@exit_status_option
@output_option
@quiet_option
@click.pass_obj
def retry(
    session: Session, job: str, follow: bool, exit_status: bool, output: Format, quiet: bool
) -> int:
    """Submit a job again, as a new one linked to it."""
    session.console.quiet = quiet
    made = session.api().jobs.retry(job)
    if not show_short(session.console, made, output, quiet):
        session.console.note(f"submitted {made['name']} ({made['id']}) as a retry of {job}")
    return stay_with(session, made, exit_status=exit_status) if follow else ExitCode.DONE


@click.command()
@jobs_argument
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Give up after so many seconds, with exit code 1.",
)
@exit_status_option
@quiet_option
@click.pass_obj
def wait(
    session: Session, jobs: Sequence[str], timeout: float | None, exit_status: bool, quiet: bool
) -> int:
    """Wait until jobs have ended. Exits 0 if all succeeded, else 1."""
    session.console.quiet = quiet
    found = [session.api().jobs.get(ref) for ref in jobs]
    return wait_for_end(session, found, exit_status=exit_status, timeout_s=timeout)
