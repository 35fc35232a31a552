"""The command tree: which commands there are, and the options that all of them take.

A command's module is imported when it runs, or when its own help is asked for; the help of its
group is made of the table.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from penstock import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from penstock.cli.session import Session

ABOUT: Final = "One compute cloud out of a mixed fleet of AI chips."
EPILOG: Final = (
    "The options above may stand anywhere before `--`, in every command. "
    "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 denied, 5 unreachable."
)


class Entry(NamedTuple):
    """A command of the table: its line of help, and where it is; a group has commands instead."""

    about: str
    place: str = ""
    commands: Mapping[str, Entry] = {}


TREE: Final = {
    "up": Entry("Start a cloud on this machine, in the background.", "up:up"),
    "down": Entry("Stop the cloud on this machine.", "down:down"),
    "status": Entry("Show processes, address, nodes, chips and jobs by state.", "status:status"),
    "doctor": Entry("Say what was found, what is missing, what to do.", "doctor:doctor"),
    "login": Entry("Save a server and a token for later commands.", "logins:login"),
    "logout": Entry("Forget a saved login.", "logins:logout"),
    "context": Entry("Saved logins.", commands={
        "list": Entry("List saved logins; the current one has a star.", "logins:list_contexts"),
        "use": Entry("Make a saved login the current one.", "logins:use_context"),
    }),
    "job": Entry("Submit jobs, follow them, end them.", commands={
        "submit": Entry(
            "Submit a job: from a file, from options and a command after `--`, or both.",
            "submit:submit",
        ),
        "list": Entry("List jobs, newest first.", "job:list_jobs"),
        "get": Entry(
            "Show one job: what was asked, where it stands, what it holds and reported.",
            "pool:get_job",
        ),
        "logs": Entry(
            "Print a job's output; with several replicas, each line behind its rank.",
            "job_reading:logs",
        ),
        "events": Entry("Show what has happened to a job.", "job_reading:events"),
        "explain": Entry(
            "Say why a job is where it is, what stands against it, and what would help.",
            "job_reading:explain",
        ),
        "cancel": Entry("Cancel jobs.", "job_actions:cancel"),
        "retry": Entry("Submit a job again, as a new one linked to it.", "job_actions:retry"),
        "wait": Entry("Wait until jobs have ended.", "job_actions:wait"),
    }),
    "plan": Entry("Say whether a job would fit now, and if not, why.", "plan:plan"),
    "node": Entry("The machines of the pool.", commands={
        "list": Entry(
            "List nodes: observed health, the operator's intent, what is free.", "pool:list_nodes"
        ),
        "get": Entry("Show one node with its labels, limits and devices left out.",
                     "pool:get_node"),
        "cordon": Entry("Place nothing new on the node; what runs there goes on.", "pool:cordon"),
        "uncordon": Entry("Let the node take work again.", "pool:uncordon"),
        "drain": Entry(
            "Place nothing new on the node, and move what runs there elsewhere.", "pool:drain"
        ),
        "retire": Entry("Take an empty node out for good; its machine may join anew.",
                        "node:retire"),
        "join": Entry("Add a machine to the pool.", "node:join"),
    }),
    "chip": Entry("The chips of the pool.", commands={
        "list": Entry("List chips: what they are, how they are, and which jobs hold them.",
                      "pool:list_chips"),
        "get": Entry("Show one chip with its measured rates and where each number came from.",
                     "pool:get_chip"),
        "types": Entry(
            "List chip types: how many there are, how many are healthy, how much is free.",
            "pool:list_types",
        ),
    }),
    "queue": Entry("Where jobs wait, and what a queue may use.", commands={
        "list": Entry("List queues with what they use and may use.", "pool:list_queues"),
        "get": Entry("Show one queue.", "pool:get_queue"),
        "set": Entry(
            "Say how many chips a queue's jobs may hold at once; makes the queue if there is none.",
            "pool:set_queue",
        ),
    }),
    "endpoint": Entry("Stable addresses of serving jobs.", commands={
        "list": Entry("List endpoints.", "pool:list_endpoints"),
        "get": Entry("Show one endpoint with its replicas.", "pool:get_endpoint"),
    }),
    "project": Entry("Projects, the tenants.", commands={
        "create": Entry("Make a project; tokens for it are made with `token create`.",
                        "accounts:create_project"),
        "list": Entry("List the projects that you belong to; administrators see all.",
                      "pool:list_projects"),
    }),
    "token": Entry("API tokens.", commands={
        "create": Entry("Make a token.", "accounts:create_token"),
        "list": Entry("List tokens, without their secrets.", "pool:list_tokens"),
        "revoke": Entry("Revoke a token: whoever uses it is denied from now on.",
                        "accounts:revoke_token"),
    }),
    "completion": Entry("Print a completion script for bash, zsh or fish.",
                        "completion:completion"),
    "version": Entry("Show the versions of client and server.", "version:version"),
}  # fmt: skip


class Group(click.Group):
    """A group out of the table."""

    def __init__(self, name: str, about: str, entries: Mapping[str, Entry], **more: object) -> None:
        super().__init__(name, help=about, no_args_is_help=True, **more)  # type: ignore[arg-type]
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None for a name that the table does not have."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        if entry.commands:
            return Group(cmd_name, entry.about, entry.commands)
        module, _, name = entry.place.partition(":")
        found: click.Command = getattr(
            importlib.import_module(f"penstock.cli.commands.{module}"), name
        )
        found.help = found.help or entry.about
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises NoSuchCommand with the nearest names; nothing completes an unknown command."""
        name = args[0]
        if name in self.entries or name.startswith("-"):
            return super().resolve_command(ctx, args)
        if ctx.resilient_parsing:
            return name, click.Command(name), []
        raise click.NoSuchCommand(name, possibilities=self.entries, ctx=ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.about) for name, entry in self.entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Its commands, of which none is imported, and its options."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=entry.about)
            for name, entry in self.entries.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]


def root() -> click.Command:
    """The whole tree."""
    return Group(
        "penstock",
        ABOUT,
        TREE,
        epilog=EPILOG,
        callback=_with_settings,
        params=_options(),
        context_settings={
            "help_option_names": ["-h", "--help"],
            "max_content_width": 100,
            "show_default": True,
        },
    )


def _options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--home"],
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help="Folder of the local cloud and of saved logins.",
        ),
        click.Option(
            ["--server"], metavar="URL", help="Address of the API instead of the saved one."
        ),
        click.Option(["--context"], metavar="NAME", help="A saved login to use."),
        click.Option(["--no-color"], is_flag=True, help="No colours."),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version.",
        ),
    ]


@click.pass_context
def _with_settings(
    ctx: click.Context, home: Path | None, server: str | None, context: str | None, no_color: bool
) -> None:
    session: Session = ctx.obj
    settings = session.settings.with_options(home, server, context, no_color)
    ctx.obj = session.with_settings(settings)


def _print_version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        session: Session = ctx.obj
        session.console.result(f"penstock {__version__}")
        ctx.exit()
