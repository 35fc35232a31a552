"""The options with which `job submit` and `plan` describe a job."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Final, TypeVar

import click
from click.shell_completion import CompletionItem

from penstock.cli.failures import CliError
from penstock.cli.options import names

CommandT = TypeVar("CommandT", bound=Callable[..., object])


class TakesCommand(click.Command):
    """A command whose usage says that another command may follow after `--`."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Raises CliError for words beyond the file: somebody forgot the `--`."""
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            command = shlex.join([ctx.params.get("file") or "", *rest]).removeprefix("'' ")
            raise CliError(
                "stray_words",
                f"only one FILE is taken, and here is `{rest[0]}` as well",
                hint=f"a command to run goes after `--`: {ctx.command_path} -- {command}",
            )
        return rest


def _files(ctx: click.Context, param: click.Parameter, word: str) -> list[CompletionItem]:
    return [CompletionItem(word, type="file")]


_DESCRIBING: Final = (
    click.argument(
        "file", required=False, metavar="[FILE]", shell_complete=_files,
        help="Job spec in YAML or JSON; `-` reads stdin. A command to run goes after `--`.",
    ),
    click.option("--project", metavar="NAME", help="Project; default: the token's."),
    click.option("--queue", metavar="NAME", help="Queue to wait in."),
    click.option("--priority", type=click.IntRange(0, 100), metavar="N", help="Default 50."),
    click.option("--chips", metavar="[TYPE:]COUNT", help="Such as 4, 2..8 or emulated-a100:2."),
    click.option(
        "--chip", multiple=True, metavar="WISH",
        shell_complete=names("chip types", "type", "vendor"),
        help="any, a type, a vendor; repeat in order of preference.",
    ),
    click.option("--share", type=float, metavar="PART", help="Part of one chip, such as 0.5."),
    click.option("--mix", is_flag=True, help="The job may span chip types."),
    click.option("--cores", type=float, metavar="N", help="Host cores per replica."),
    click.option(
        "--host-memory", metavar="SIZE", help="Host memory per replica, such as 2GiB."
    ),
    click.option("--replicas", type=int, metavar="N", help="Number of replicas."),
    click.option("--label", multiple=True, metavar="KEY=VALUE", help="Repeatable."),
)  # fmt: skip
_RUNNING: Final = (
    click.option("--name", metavar="NAME", help="Unique among live jobs."),
    click.option(
        "--retry", type=int, metavar="N", help="How often its own failures are tried again."
    ),
    click.option(
        "--workdir",
        metavar="FOLDER",
        help="Where it starts, on its node; default: an empty folder.",
    ),
    click.option("--max-duration", metavar="TIME", help="Stop it after this long, such as 2h."),
    click.option(
        "--env", multiple=True, metavar="KEY=VALUE", help="For its environment; repeatable."
    ),
)


def describing(command: CommandT) -> CommandT:
    """Adds what says which job it is and what it needs."""
    return _with(_DESCRIBING, command)


def running(command: CommandT) -> CommandT:
    """Adds what only matters once the job runs."""
    return _with(_RUNNING, command)


def _with(options: tuple[Callable[[CommandT], CommandT], ...], command: CommandT) -> CommandT:
    for option in reversed(options):
        command = option(command)
    return command
