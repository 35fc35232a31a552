"""`penstock job logs`, `events`, `explain`: what a job said, what happened, why it waits."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from penstock.cli.commands.plan import reasons
from penstock.cli.following.follow import ENDED, print_stream
from penstock.cli.options import (
    Format,
    JobArgument,
    OutputOption,
    QuietOption,
    WatchOption,
)
from penstock.cli.output import columns
from penstock.cli.output.show import Shown, data_text, show_list, show_text, steady
from penstock.cli.session import Session, session_of
from penstock.cli.terminal.text import clean
from penstock.client import routes


def register(group: typer.Typer) -> None:
    group.command()(logs)
    group.command()(events)
    group.command()(explain)


def logs(
    ctx: typer.Context,
    job: JobArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
    rank: Annotated[
        int | None, typer.Option(metavar="RANK", help="Only this rank's output.", min=0)
    ] = None,
    tail: Annotated[
        int | None, typer.Option(metavar="LINES", help="Only the last lines of each rank.", min=0)
    ] = None,
    head: Annotated[
        int | None, typer.Option(metavar="LINES", help="Only the first lines of each rank.", min=0)
    ] = None,
    attempt: Annotated[
        int | None, typer.Option(metavar="N", help="Only this attempt's output.", min=1)
    ] = None,
) -> None:
    """Print a job's output; with several replicas, each line behind its rank.

    One replica's output is printed byte by byte as it was written; only on a terminal, what would
    move the cursor is left out.
    """
    session = session_of(ctx)
    if follow:
        if head is not None:
            raise typer.BadParameter("--head and --follow exclude each other")
        document = session.http().document(routes.read("jobs", job))
        if document["state"] not in ENDED:
            _say_if_none(session, job, rank, attempt)
        print_stream(session, document, rank=rank, tail=tail, attempt=attempt)
        return
    request = routes.job_log_text(job, tail=tail, head=head, rank=rank, attempt=attempt)
    session.console.copy(session.http().download(request))
    _say_if_none(session, job, rank, attempt)


def _say_if_none(session: Session, job: str, rank: int | None, attempt: int | None) -> None:
    """Of a job that goes on, that there is no such replica so far; an ended one is refused."""
    if rank is None and attempt is None:
        return
    replicas = session.http().items(routes.read("jobs", job, "replicas"))
    if any(_is_wanted(one, rank, attempt) for one in replicas):
        return
    words = ("rank", rank), ("attempt", attempt)
    wanted = " in ".join(f"{name} {number}" for name, number in words if number is not None)
    session.console.note(f"{job} has no {wanted} so far")


def _is_wanted(replica: dict[str, Any], rank: int | None, attempt: int | None) -> bool:
    number = replica.get("gang") or replica["rank"]
    return rank in (None, number) and attempt in (None, replica["attempt"])


def events(
    ctx: typer.Context,
    job: JobArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show what has happened to a job."""
    session = session_of(ctx)
    if not follow:
        request = routes.read("jobs", job, "events")
        show_list(
            session.console,
            lambda: [{"name": it["type"], **it} for it in session.http().items(request)],
            columns.EVENTS,
            output,
        )
        return
    for event in session.http().events(routes.event_stream(job)):
        session.console.result(_event_text(session, json.loads(event.data), output))


def explain(
    ctx: typer.Context,
    job: JobArgument,
    output: OutputOption = Format.TABLE,
    watch: WatchOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say why a job is where it is, what stands against it, and what would help."""
    session = session_of(ctx)
    request = routes.read("jobs", job, "explain")

    def shown() -> Shown:
        answer = session.http().document(request)
        if output in (Format.JSON, Format.YAML):
            text = data_text(session.console, answer, output, compact=watch)
            return Shown(text, steady(answer))
        text = clean(answer["sentence"]) if quiet else "\n".join(_explanation(answer))
        return Shown(text, text)

    show_text(session.console, shown, watch)


def _explanation(answer: dict[str, Any]) -> list[str]:
    lines = [clean(answer["sentence"])]
    position = answer.get("queue_position")
    if position is not None:
        ahead = ", ".join(map(clean, answer.get("ahead") or []))
        lines.append(
            f"  place among waiting jobs: {position}" + (f", behind {ahead}" if ahead else "")
        )
    return [*lines, *reasons(answer)]


def _event_text(session: Session, event: dict[str, Any], form: Format) -> str:
    if form == Format.JSON:
        return json.dumps(event, ensure_ascii=False)
    if form == Format.YAML:
        return "---\n" + data_text(session.console, event, form)
    return f"{clean(event['at'])}  {clean(event['type'])}  {clean(event['message'])}"
