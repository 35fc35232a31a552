"""`penstock job submit`: hands in a job, and stays with it if asked to."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.commands.plan import dry_run
from penstock.cli.following.follow import follow, wait_for_end
from penstock.cli.options import ExitStatusOption, Format, OutputOption, QuietOption
from penstock.cli.output.show import data_text
from penstock.cli.session import Session, session_of
from penstock.cli.spec import options as given
from penstock.cli.spec.file import SpecFlags, load_spec, parse_pairs
from penstock.client import routes


def register(group: typer.Typer) -> None:
    group.command(cls=given.TakesCommand)(submit)


def submit(
    ctx: typer.Context,
    file: given.FileArgument = None,
    name: given.NameOption = None,
    project: given.ProjectOption = None,
    queue: given.QueueOption = None,
    priority: given.PriorityOption = None,
    chips: given.ChipsOption = None,
    chip: given.ChipOption = None,
    share: given.ShareOption = None,
    mix: given.MixOption = False,
    cores: given.CoresOption = None,
    host_memory: given.HostMemoryOption = None,
    replicas: given.ReplicasOption = None,
    retry: given.RetryOption = None,
    workdir: given.WorkdirOption = None,
    max_duration: given.DurationOption = None,
    env: given.EnvOption = None,
    label: given.LabelOption = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key and job again is the same job.")
    ] = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say whether it would fit.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")] = False,
    follow_logs: Annotated[
        bool, typer.Option("--follow", "-f", help="Print its output until it has ended.")
    ] = False,
    exit_status: ExitStatusOption = False,
    output: OutputOption = Format.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Submit a job: from a file, from options and a command after `--`, or both."""
    flags = SpecFlags(
        name=name, project=project, queue=queue, priority=priority, max_duration=max_duration,
        chips=chips, chip=chip or (), share=share, mix=mix, cores=cores, host_memory=host_memory,
        replicas=replicas, retry=retry, workdir=workdir, env=parse_pairs("--env", env or ()),
        labels=parse_pairs("--label", label or ()),
    )  # fmt: skip
    session = session_of(ctx)
    spec = load_spec(file, flags, session.tail)
    if dry:
        raise typer.Exit(dry_run(session, spec, output))
    session.console.quiet = quiet
    job = session.http().document(routes.submit_job(spec, idempotency_key))
    _announce(session, job, output, quiet, stays=follow_logs or wait)
    if follow_logs:
        raise typer.Exit(follow(session, job, exit_status=exit_status))
    if wait:
        raise typer.Exit(wait_for_end(session, [job], exit_status=exit_status))


def _announce(
    session: Session, job: dict[str, object], form: Format, quiet: bool, stays: bool
) -> None:
    """Says what was accepted; on stderr where stdout belongs to the job's own output."""
    if form in (Format.JSON, Format.YAML):
        session.console.result(data_text(session.console, job, form))
    elif form == Format.NAME or quiet:
        if not stays:
            session.console.result(str(job["id"] if quiet else job["name"]))
    elif stays:
        session.console.note(f"submitted {job['name']} ({job['id']})")
    else:
        session.console.result(f"submitted {job['name']} ({job['id']})")
        session.console.note(f"  follow it: penstock job logs -f {job['name']}")
