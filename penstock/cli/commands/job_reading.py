"""`penstock job logs`, `events`, `explain`: what a job said, what happened, why it waits."""

from __future__ import annotations

import json

import click

from penstock.api.states import ENDED
from penstock.cli.commands.plan import reasons
from penstock.cli.following.follow import print_stream
from penstock.cli.following.watch import Watch
from penstock.cli.options import Format, job_argument, output_option, quiet_option, watch_option
from penstock.cli.output import columns
from penstock.cli.output.show import Shown, data_text, show_list, show_text, steady
from penstock.cli.session import Session
from penstock.cli.terminal.text import clean
from penstock.client.requests import Document


@click.command()
@job_argument
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@click.option("--rank", type=click.IntRange(min=0), metavar="RANK", help="Only this rank's output.")
@click.option(
    "--tail", type=click.IntRange(min=0), metavar="LINES", help="Only the last lines of each rank."
)
@click.option(
    "--head", type=click.IntRange(min=0), metavar="LINES", help="Only the first lines of each rank."
)
@click.option(
    "--attempt", type=click.IntRange(min=1), metavar="N", help="Only this attempt's output."
)
@click.pass_obj
def logs(session: Session, /, job: str, follow: bool, head: int | None, **part: int | None) -> None:
    """Print a job's output; with several replicas, each line behind its rank.

    One replica's output is printed byte by byte as it was written; only on a terminal, what would
    move the cursor is left out.
    """
    if follow:
        if head is not None:
            raise click.BadParameter("--head and --follow exclude each other")
        document = session.api().jobs.get(job)
        if document["state"] not in ENDED:
            _say_if_none(session, job, part["rank"], part["attempt"])
        print_stream(session, document, **part)
        return
    session.console.copy(session.api().jobs.download_logs(job, head=head, **part))
    _say_if_none(session, job, part["rank"], part["attempt"])


def _say_if_none(session: Session, job: str, rank: int | None, attempt: int | None) -> None:
    """Of a job that goes on, that there is no such replica so far; an ended one is refused."""
    if rank is None and attempt is None:
        return
    if any(_is_wanted(one, rank, attempt) for one in session.api().jobs.replicas(job)):
        return
    words = ("rank", rank), ("attempt", attempt)
    wanted = " in ".join(f"{name} {number}" for name, number in words if number is not None)
    session.console.note(f"{job} has no {wanted} so far")


def _is_wanted(replica: Document, rank: int | None, attempt: int | None) -> bool:
    number = replica.get("gang") or replica["rank"]
    return rank in (None, number) and attempt in (None, replica["attempt"])


@click.command()
@job_argument
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@output_option
@click.pass_obj
def events(session: Session, job: str, follow: bool, output: Format) -> None:
    """Show what has happened to a job."""
    if not follow:
        show_list(
            session.console,
            lambda: [{"name": it["type"], **it} for it in session.api().jobs.events(job)],
            columns.EVENTS,
            output,
        )
        return
    for event in session.api().jobs.follow_events(job):
        session.console.result(_event_text(session, event, output))


@click.command()
@job_argument
@output_option
@watch_option("job", "node", "queue")
@quiet_option
@click.pass_obj
def explain(session: Session, job: str, output: Format, watch: Watch | None, quiet: bool) -> None:
    """Say why a job is where it is, what stands against it, and what would help."""

    def shown(answer: Document) -> Shown:
        if output in (Format.JSON, Format.YAML):
            text = data_text(session.console, answer, output, compact=watch is not None)
            return Shown(text, steady(answer))
        text = clean(answer["sentence"]) if quiet else "\n".join(_explanation(answer))
        return Shown(text, text)

    show_text(session.console, lambda: session.api().jobs.explain(job), shown, watch)


def _explanation(answer: Document) -> list[str]:
    lines = [clean(answer["sentence"])]
    position = answer.get("queue_position")
    if position is not None:
        ahead = ", ".join(map(clean, answer.get("ahead") or []))
        lines.append(
            f"  place among waiting jobs: {position}" + (f", behind {ahead}" if ahead else "")
        )
    return [*lines, *reasons(answer)]


def _event_text(session: Session, event: Document, form: Format) -> str:
    if form == Format.JSON:
        return json.dumps(event, ensure_ascii=False)
    if form == Format.YAML:
        return "---\n" + data_text(session.console, event, form)
    return f"{clean(event['at'])}  {clean(event['type'])}  {clean(event['message'])}"
