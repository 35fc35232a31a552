"""`penstock completion`: scripts for shells."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from penstock.cli.app import root
from penstock.cli.config import COMPLETE
from penstock.cli.failures import CliError
from penstock.cli.session import Session

SHELLS: Final = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", metavar="bash|zsh|fish")
@click.pass_obj
def completion(session: Session, shell: str) -> None:
    """Print a completion script for bash, zsh or fish.

    It completes commands, options, and the names of jobs, nodes and more.

    bash: eval "$(penstock completion bash)"

    zsh: eval "$(penstock completion zsh)"

    fish: penstock completion fish | source
    """
    found = get_completion_class(shell) if shell in SHELLS else None
    if found is None:
        raise CliError(
            "unknown_shell",
            f"there is no completion for `{shell}`",
            hint=f"there is one for {', '.join(SHELLS)}",
        )
    session.console.raw(found(root(), {}, "penstock", COMPLETE).source())
