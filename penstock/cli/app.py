"""The command tree: which commands there are, and the options that all of them take.

Only the branch that is about to run is built in full: that is what keeps the command quick to
start. Of the others, names and one-line descriptions are enough.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from penstock import __version__
from penstock.cli.session import session_of

_ABOUT: Final = "One compute cloud out of a mixed fleet of AI chips."
_EPILOG: Final = (
    "The options above may stand anywhere before `--`, in every command. "
    "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 denied, 5 unreachable."
)


class Branch(NamedTuple):
    """A command or group at the top: its name, its line of help, the modules that define it."""

    name: str
    about: str
    modules: tuple[str, ...]
    is_group: bool = False


BRANCHES: Final = (
    Branch("up", "Start a cloud on this machine, in the background.",
           ("up",)),
    Branch("down", "Stop the cloud on this machine.", ("down",)),
    Branch("status", "Show processes, address, nodes, chips and jobs by state.", ("status",)),
    Branch("doctor", "Say what was found, what is missing, what to do.",
           ("doctor",)),
    Branch("login", "Save a server and a token for later commands.", ("login",)),
    Branch("logout", "Forget a saved login.", ("logout",)),
    Branch("context", "Saved logins.", ("contexts",), is_group=True),
    Branch("job", "Submit jobs, follow them, end them.",
           ("submit", "job", "job_reading", "job_actions"), is_group=True),
    Branch("plan", "Say whether a job would fit now, and if not, why.",
           ("plan",)),
    Branch("node", "The machines of the pool.", ("node",), is_group=True),
    Branch("chip", "The chips of the pool.", ("chip",), is_group=True),
    Branch("queue", "Where jobs wait, and what a queue may use.", ("queue",), is_group=True),
    Branch("endpoint", "Stable addresses of serving jobs.", ("endpoint",), is_group=True),
    Branch("project", "Projects, the tenants.", ("project",), is_group=True),
    Branch("token", "API tokens.", ("token",), is_group=True),
    Branch("completion", "Print a completion script for bash, zsh or fish.", ("completion",)),
    Branch("version", "Show the versions of client and server.", ("version",)),
)  # fmt: skip


def build(wanted: str | None = None) -> typer.Typer:
    """The tree with the branch `wanted` in full and the others by name; all in full for None."""
    root = _group(_ABOUT, _EPILOG)
    root.callback()(_root)
    for branch in BRANCHES:
        full = wanted in (None, branch.name)
        target = _group(branch.about) if branch.is_group else root
        if full:
            for module in branch.modules:
                _register(module)(target)
        elif not branch.is_group:
            root.command(branch.name, help=branch.about)(_unbuilt)
        if branch.is_group:
            root.add_typer(target, name=branch.name)
    if wanted in (None, "complete-words"):
        _register("complete_words")(root)
    return root


def _register(module: str) -> Callable[[typer.Typer], None]:
    found: Callable[[typer.Typer], None] = importlib.import_module(
        f"penstock.cli.commands.{module}"
    ).register
    return found


def _unbuilt() -> None:
    """Stands for a command that this run does not call."""


def _group(about: str, epilog: str | None = None) -> typer.Typer:
    return typer.Typer(
        help=about,
        epilog=epilog,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def _root(
    ctx: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(help="Folder of the local cloud and of saved logins.", metavar="FOLDER"),
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Address of the API instead of the saved one.", metavar="URL")
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="A saved login to use.", metavar="NAME")
    ] = None,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    session = session_of(ctx)
    settings = session.settings.with_options(home, server, context, no_color)
    ctx.obj = session.with_settings(settings)


def _print_version(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        session_of(ctx).console.result(f"penstock {__version__}")
        raise typer.Exit()
