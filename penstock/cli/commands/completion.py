"""`penstock completion`: scripts for shells."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.completing import SCRIPTS
from penstock.cli.failures import CliError
from penstock.cli.session import session_of


def register(group: typer.Typer) -> None:
    group.command()(completion)


def completion(
    ctx: typer.Context,
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", show_default=False)],
) -> None:
    """Print a completion script for bash, zsh or fish.

    It completes commands, options, and the names of jobs, nodes and more.

    bash: eval "$(penstock completion bash)"

    zsh: eval "$(penstock completion zsh)"

    fish: penstock completion fish | source
    """
    script = SCRIPTS.get(shell)
    if script is None:
        raise CliError(
            "unknown_shell",
            f"there is no completion for `{shell}`",
            hint=f"there is one for {', '.join(SCRIPTS)}",
        )
    session_of(ctx).console.raw(script)
