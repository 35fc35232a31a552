"""Options and arguments that several commands share, written once.

An argument's metavar also says what its shell completion asks the server for.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from penstock.cli.failures import CliError


class Format(StrEnum):
    """How results are shown."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


OutputOption = Annotated[
    Format,
    typer.Option("-o", "--output", metavar="FORMAT", help="table, wide, json, yaml or name."),
]
WatchOption = Annotated[
    bool, typer.Option("-w", "--watch", help="Show again whenever it changes, until ctrl-C.")
]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Only ids, no notes.")]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Name or id.", show_default=False)]
JobsArgument = Annotated[
    list[str], typer.Argument(metavar="JOB...", help="Names or ids.", show_default=False)
]
NodeArgument = Annotated[
    str, typer.Argument(metavar="NODE", help="Name or id.", show_default=False)
]
ExitStatusOption = Annotated[
    bool, typer.Option("--exit-status", help="Exit with the job's own exit code.")
]


def check_word(option: str, word: str, allowed: Sequence[str]) -> None:
    """Raises CliError that names the option, unless the word is one of those."""
    if word not in allowed:
        message = f"{option} must be one of {', '.join(allowed)}, not `{word}`"
        raise CliError("bad_option", message)
