"""Options and arguments that several commands share, written once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from typing import Final, TypeVar

import click

from penstock.cli.config import resolve
from penstock.cli.failures import CliError
from penstock.cli.following.watch import Watch, of_nouns
from penstock.cli.session import Session, open_api
from penstock.client.errors import ClientError
from penstock.client.requests import Document

MAX_NAMES: Final = 200
COMPLETION_TIMEOUT_S: Final = 1.0
CommandT = TypeVar("CommandT", bound=Callable[..., object])
Suggest = Callable[[click.Context, click.Parameter, str], list[str]]


class Format(StrEnum):
    """How results are shown."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


def names(noun: str, *fields: str) -> Suggest:
    """Shell completion with what the server has: of each object of the noun these fields, or its
    name, or its id where ids are asked for or there is no name.
    """

    def suggest(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        session = ctx.find_object(Session)
        found = _documents(session, noun) if session is not None else []
        by_id = noun == "tokens" or incomplete.startswith(noun[:-1] + "_")
        wanted = fields or ("id" if by_id else "name",)
        words = {str(one.get(field) or one["id"]) for one in found for field in wanted}
        return sorted(word for word in words if word.startswith(incomplete))

    return suggest


output_option = click.option(
    "-o",
    "--output",
    type=click.Choice([one.value for one in Format]),
    default=Format.TABLE.value,
    callback=lambda ctx, param, value: Format(value),
    metavar="FORMAT",
    help="table, wide, json, yaml or name.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Only ids, no notes.")
follow_option = click.option(
    "--follow", "-f", is_flag=True, help="Print its output until it has ended."
)
exit_status_option = click.option(
    "--exit-status", is_flag=True, help="Exit with the job's own exit code."
)
job_argument = click.argument(
    "job", metavar="JOB", help="Name or id.", shell_complete=names("jobs")
)
jobs_argument = click.argument(
    "jobs",
    metavar="JOB...",
    help="Names or ids.",
    nargs=-1,
    required=True,
    shell_complete=names("jobs"),
)
node_argument = click.argument(
    "node", metavar="NODE", help="Name or id.", shell_complete=names("nodes")
)


def watch_option(*nouns: str, patient: bool = False) -> Callable[[CommandT], CommandT]:
    """`-w`: a watch of all objects of these nouns, None without it."""

    def begun(ctx: click.Context, _param: click.Parameter, wanted: bool) -> Watch | None:
        return Watch(ctx.obj, of_nouns(*nouns), patient=patient) if wanted else None

    text = "Show again whenever it changes, until ctrl-C."
    return click.option("-w", "--watch", is_flag=True, callback=begun, help=text)


def check_word(option: str, word: str, allowed: Sequence[str]) -> None:
    """Raises CliError that names the option, unless the word is one of those."""
    if word not in allowed:
        message = f"{option} must be one of {', '.join(allowed)}, not `{word}`"
        raise CliError("bad_option", message)


def _documents(session: Session, noun: str) -> list[Document]:
    """At most so many objects of the noun; none where the server does not answer at once."""
    try:
        with open_api(resolve(session.settings), timeout_s=COMPLETION_TIMEOUT_S) as api:
            lists: Mapping[str, Callable[[], Iterator[Document]]] = {
                "jobs": api.jobs.list,
                "nodes": api.nodes.list,
                "chips": api.chips.list,
                "chip types": api.chips.types,
                "queues": api.queues.list,
                "endpoints": api.endpoints.list,
                "tokens": api.tokens.list,
            }
            return list(islice(lists[noun](), MAX_NAMES))
    except (ClientError, CliError):
        return []
