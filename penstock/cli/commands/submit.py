"""`penstock job submit`: hands in a job, and stays with it if asked to."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli.commands.plan import dry_run
from penstock.cli.failures import ExitCode
from penstock.cli.following.follow import follow as stay_with
from penstock.cli.following.follow import wait_for_end
from penstock.cli.options import (
    Format,
    exit_status_option,
    follow_option,
    output_option,
    quiet_option,
)
from penstock.cli.output.show import show_data
from penstock.cli.session import Session
from penstock.cli.spec.file import load_spec
from penstock.cli.spec.literal import unexpanded
from penstock.cli.spec.options import TakesCommand, describing, running
from penstock.client.requests import Document


@click.command(cls=TakesCommand)
@describing
@running
@click.option(
    "--idempotency-key", metavar="KEY", help="The same key and job again is the same job."
)
@click.option("--dry-run", "dry", is_flag=True, help="Only say whether it would fit.")
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@follow_option
@exit_status_option
@output_option
@quiet_option
@click.pass_obj
def submit(
    session: Session,
    /,
    file: str | None,
    idempotency_key: str | None,
    dry: bool,
    wait: bool,
    follow: bool,
    exit_status: bool,
    output: Format,
    quiet: bool,
    **given: Any,
) -> int:
    """Submit a job: from a file, from options and a command after `--`, or both."""
    spec = load_spec(file, given, session.tail)
    if dry:
        return dry_run(session, spec, output)
    session.console.quiet = quiet
    job = session.api().jobs.submit(spec, idempotency_key=idempotency_key)
    _announce(session, job, output, quiet, stays=follow or wait)
    for word in unexpanded(job["spec"]):
        session.console.note(
            f"  note: {word} is passed as it stands, for no shell runs the command: "
            "write sh -c '...' around it"
        )
    if follow:
        return stay_with(session, job, exit_status=exit_status)
    return wait_for_end(session, [job], exit_status=exit_status) if wait else ExitCode.DONE


def _announce(session: Session, job: Document, form: Format, quiet: bool, stays: bool) -> None:
    """Says what was accepted; on stderr where stdout belongs to the job's own output."""
    if show_data(session.console, job, form):
        return
    if form == Format.NAME or quiet:
        if not stays:
            session.console.result(str(job["id"] if quiet else job["name"]))
    elif stays:
        session.console.note(f"submitted {job['name']} ({job['id']})")
    else:
        session.console.result(f"submitted {job['name']} ({job['id']})")
        session.console.note(f"  follow it: penstock job logs -f {job['name']}")
