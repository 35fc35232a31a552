"""`penstock job list`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

import click

from penstock.api.states import JobState
from penstock.cli.following.watch import Watch
from penstock.cli.options import (
    Format,
    check_word,
    names,
    output_option,
    quiet_option,
    watch_option,
)
from penstock.cli.output import columns
from penstock.cli.output.show import show_list
from penstock.cli.session import Session
from penstock.client.requests import Document

PAGE = 500
_WORDS: Final = {
    "state": [it.value for it in JobState],
    "type": ("train", "serve", "task"),
    "sort": ("created_at", "-created_at"),
}


@click.command()
@click.option(
    "--state", multiple=True, metavar="STATE", help="Only in this state; may be repeated."
)
@click.option("--type", metavar="TYPE", help="train, serve or task.")
@click.option("--queue", metavar="NAME", help="Only of this queue.")
@click.option("--project", metavar="NAME", help="Only of this project.")
@click.option(
    "--label", multiple=True, metavar="KEY=VALUE", help="Only with KEY=VALUE; may be repeated."
)
@click.option(
    "--chip-vendor",
    metavar="VENDOR",
    help="Only on this vendor's chips.",
    shell_complete=names("chip types", "vendor"),
)
@click.option(
    "--sort", default="-created_at", metavar="FIELD", help="Field to sort by; - turns it."
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    metavar="N",
    help="At most so many; 0 for all.",
)
@output_option
@watch_option("job")
@quiet_option
@click.pass_obj
def list_jobs(
    session: Session,
    /,
    limit: int,
    output: Format,
    watch: Watch | None,
    quiet: bool,
    **filters: Any,
) -> None:
    """List jobs, newest first."""
    for name, allowed in _WORDS.items():
        given = filters[name] or ()
        for one in [given] if isinstance(given, str) else given:
            check_word(f"--{name}", one, allowed)
    fetch = _fetch(session, filters, limit)
    show_list(session.console, fetch, columns.JOBS, output, quiet=quiet, watch=watch)


def _fetch(
    session: Session, filters: Mapping[str, object], limit: int
) -> Callable[[], list[Document]]:
    """Reads one job more than is shown, to know whether to say that there are more."""
    page = min(limit + 1, PAGE) if limit else PAGE

    def fetch() -> list[Document]:
        found = session.api().jobs.list(**filters, limit=page)
        jobs = list(islice(found, limit + 1 if limit else None))
        if limit and len(jobs) > limit:
            session.console.note(f"only the first {limit}: see more with --limit")
        return jobs[:limit] if limit else jobs

    return fetch
