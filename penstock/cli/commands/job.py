"""`penstock job list` and `get`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Annotated

import typer

from penstock.api.states import JobState
from penstock.cli.options import (
    Format,
    JobArgument,
    OutputOption,
    QuietOption,
    WatchOption,
    check_word,
)
from penstock.cli.output import columns
from penstock.cli.output.columns import Document
from penstock.cli.output.show import show_list, show_one
from penstock.cli.session import Session, session_of
from penstock.client import routes

PAGE = 500
SORTS = ("created_at", "-created_at")
JOB_TYPES = ("train", "serve", "task")


def register(group: typer.Typer) -> None:
    group.command("list")(list_jobs)
    group.command("get")(get_job)


def list_jobs(
    ctx: typer.Context,
    state: Annotated[
        list[str] | None, typer.Option(metavar="STATE", help="Only in this state; may be repeated.")
    ] = None,
    job_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="train, serve or task.")
    ] = None,
    queue: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this queue.")] = None,
    project: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of this project.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Only with KEY=VALUE; may be repeated."),
    ] = None,
    chip_vendor: Annotated[
        str | None, typer.Option(metavar="VENDOR", help="Only on this vendor's chips.")
    ] = None,
    sort: Annotated[
        str, typer.Option(metavar="FIELD", help="Field to sort by; - turns it.")
    ] = "-created_at",
    limit: Annotated[
        int, typer.Option(metavar="N", help="At most so many; 0 for all.", min=0)
    ] = 100,
    output: OutputOption = Format.TABLE,
    watch: WatchOption = False,
    quiet: QuietOption = False,
) -> None:
    """List jobs, newest first."""
    session = session_of(ctx)
    for one in state or ():
        check_word("--state", one, [it.value for it in JobState])
    if job_type is not None:
        check_word("--type", job_type, JOB_TYPES)
    check_word("--sort", sort, SORTS)
    filters = {
        "state": state, "type": job_type, "queue": queue, "project": project, "label": label,
        "chip_vendor": chip_vendor, "sort": sort,
    }  # fmt: skip
    fetch = _fetch(session, filters, limit)
    show_list(session.console, fetch, columns.JOBS, output, quiet=quiet, watch=watch)


def get_job(
    ctx: typer.Context,
    job: JobArgument,
    output: OutputOption = Format.TABLE,
    watch: WatchOption = False,
) -> None:
    """Show one job: what was asked, where it stands, what it holds and reported."""
    session = session_of(ctx)
    request = routes.read("jobs", job)
    show_one(session.console, lambda: session.http().document(request), output, watch=watch)


def _fetch(
    session: Session, filters: Mapping[str, object], limit: int
) -> Callable[[], list[Document]]:
    """Reads one job more than is shown, to know whether to say that there are more."""
    page = min(limit + 1, PAGE) if limit else PAGE
    request = routes.read("jobs", params={**filters, "limit": page})

    def fetch() -> list[Document]:
        jobs: list[Document] = list(
            islice(session.http().items(request), limit + 1 if limit else None)
        )
        if limit and len(jobs) > limit:
            session.console.note(f"only the first {limit}: see more with --limit")
        return jobs[:limit] if limit else jobs

    return fetch
