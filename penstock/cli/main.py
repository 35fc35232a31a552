"""Entry of the `penstock` command: sorts its arguments, runs it, turns every end into a code."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from penstock.cli.config import Settings, environment, read_settings
from penstock.cli.console import Console, silence_outputs
from penstock.cli.failures import CliError, ClosedPipe, ExitCode, exit_code_of, render
from penstock.cli.quick import quicken
from penstock.cli.session import Session
from penstock.client.errors import ClientError

GLOBAL_FLAGS: Final = frozenset({"--no-color"})
GLOBAL_VALUES: Final = frozenset({"--home", "--server", "--context"})
# Commands that run what stands after `--`; to all others it is arguments like any.
_TAKE_A_COMMAND: Final = (["job", "submit"], ["plan"])


def main() -> None:
    """Runs the command of this process and exits."""
    code = run(sys.argv[1:], environment())
    silence_outputs()
    sys.exit(code)


def run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs one command; returns its exit status. Raises nothing that a user could cause."""
    settings = read_settings(environ)
    console = Console(color=settings.color)
    try:
        return _run(argv, settings, console)
    except (CliError, ClientError) as error:
        return _fail(console, error)
    except ClosedPipe:
        return ExitCode.DONE
    except OSError as error:  # a full disk, a folder that cannot be written
        return _fail(console, CliError("system", str(error), exit_code=ExitCode.FAILED))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def sort_arguments(argv: Sequence[str]) -> tuple[list[str], str, tuple[str, ...]]:
    """(arguments with the global options in front, the first word, the command after `--`)."""
    words = list(argv)
    split = words.index("--") if "--" in words else len(words)
    front, rest = _global_first(words[:split])
    branch = rest[0] if rest else ""
    if any(rest[: len(path)] == path for path in _TAKE_A_COMMAND):
        return [*front, *rest], branch, tuple(words[split + 1 :])
    return [*front, *rest, *words[split:]], branch, ()


def _global_first(words: Sequence[str]) -> tuple[list[str], list[str]]:
    front: list[str] = []
    rest: list[str] = []
    position = 0
    while position < len(words):
        name, equals, _ = words[position].partition("=")
        taken = 2 if name in GLOBAL_VALUES and not equals else 1
        target = front if name in GLOBAL_FLAGS | GLOBAL_VALUES else rest
        target.extend(words[position : position + taken])
        position += taken
    return front, rest


def _run(argv: Sequence[str], settings: Settings, console: Console) -> int:
    import typer.main

    from penstock.cli.app import build

    arguments, branch, tail = sort_arguments(argv)
    session = Session(settings, console, tail)
    command = quicken(typer.main.get_command(build(branch)))
    try:
        command.main(args=arguments, prog_name="penstock", obj=session)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return ExitCode.DONE


def _fail(console: Console, error: CliError | ClientError) -> int:
    with contextlib.suppress(ClosedPipe):
        console.error(render(error))
    return exit_code_of(error)
