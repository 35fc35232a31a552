"""Runs one command of the tree and turns every end into an exit code."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import click

from penstock.cli.app import root
from penstock.cli.arguments import sort_arguments
from penstock.cli.config import COMPLETE, Settings, read_settings
from penstock.cli.failures import CliError, ClosedPipe, ExitCode, exit_code_of, render
from penstock.cli.session import Session
from penstock.cli.terminal.console import Console
from penstock.client.errors import ClientError
from penstock.disk_room import disk_trouble


def run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs one command; returns its exit status. Raises nothing that a user could cause."""
    settings = read_settings(environ)
    console = Console(color=settings.color)
    try:
        return _run(argv, settings, console)
    except (CliError, ClientError) as error:
        return _fail(console, error)
    except (ClosedPipe, BrokenPipeError):
        return ExitCode.DONE
    except OSError as error:
        return _fail(console, _system_error(error))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _run(argv: Sequence[str], settings: Settings, console: Console) -> int:
    arguments, tail = sort_arguments(argv)
    session = Session(settings, console, tail)
    try:
        with root().make_context("penstock", arguments, obj=session) as context:
            return int(context.command.invoke(context) or ExitCode.DONE)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return ExitCode.INTERRUPTED
    finally:
        session.close()


def complete(environ: Mapping[str, str]) -> int:
    """Answers a completion script, which says in the environment what was typed so far."""
    from click.shell_completion import shell_complete

    session = Session(read_settings(environ), Console(color=False))
    return shell_complete(root(), {"obj": session}, "penstock", COMPLETE, environ[COMPLETE])


def _system_error(error: OSError) -> CliError:
    """A full disk is told as one; anything else as the system says it."""
    full = disk_trouble(error)
    if full is None:
        return CliError("system", str(error), exit_code=ExitCode.FAILED)
    where = f" of {error.filename}" if error.filename else ""
    return CliError(
        "disk_full",
        f"the disk{where} {full}",
        hint="make room there and run it again; `penstock doctor` says which folder is full",
        exit_code=ExitCode.FAILED,
    )


def _fail(console: Console, error: CliError | ClientError) -> int:
    with contextlib.suppress(ClosedPipe):
        console.error(render(error))
    return exit_code_of(error)
