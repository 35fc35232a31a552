"""Runs one command of the tree and turns every end into an exit code."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from penstock.cli.arguments import sort_arguments
from penstock.cli.config import Settings, read_settings
from penstock.cli.failures import CliError, ClosedPipe, ExitCode, exit_code_of, render
from penstock.cli.quick import quicken
from penstock.cli.session import Session
from penstock.cli.terminal.console import Console
from penstock.client.errors import ClientError
from penstock.disk_room import told_by


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
    except OSError as error:
        return _fail(console, _system_error(error))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


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
    finally:
        session.close()
    return ExitCode.DONE


def _system_error(error: OSError) -> CliError:
    """A full disk is told as one; anything else as the system says it."""
    full = told_by(error)
    if full is None:
        return CliError("system", str(error), exit_code=ExitCode.FAILED)
    where = f" of {error.filename}" if error.filename else ""
    return CliError(
        "disk_full", f"the disk{where} {full}",
        hint="make room there and run it again; `penstock doctor` says which folder is full",
        exit_code=ExitCode.FAILED,
    )  # fmt: skip


def _fail(console: Console, error: CliError | ClientError) -> int:
    with contextlib.suppress(ClosedPipe):
        console.error(render(error))
    return exit_code_of(error)
