"""The options with which `job submit` and `plan` describe a job."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer
import typer.core

from penstock.cli.failures import CliError


class TakesCommand(typer.core.TyperCommand):
    """A command whose usage says that another command may follow after `--`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raises CliError for words beyond the file: somebody forgot the `--`."""
        ctx.allow_extra_args = True
        rest: list[str] = super().parse_args(ctx, args)
        if rest:
            command = shlex.join([ctx.params.get("file") or "", *rest]).removeprefix("'' ")
            raise CliError(
                "stray_words", f"only one FILE is taken, and here is `{rest[0]}` as well",
                hint=f"a command to run goes after `--`: {ctx.command_path} -- {command}",
            )  # fmt: skip
        return rest


FileArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE",
        help="Job spec in YAML or JSON; `-` reads stdin. A command to run goes after `--`.",
        show_default=False,
    ),
]
NameOption = Annotated[str | None, typer.Option(metavar="NAME", help="Unique among live jobs.")]
ProjectOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Project; default: the token's.")
]
QueueOption = Annotated[str | None, typer.Option(metavar="NAME", help="Queue to wait in.")]
PriorityOption = Annotated[
    int | None, typer.Option(metavar="N", help="Default 50.", min=0, max=100)
]
ChipsOption = Annotated[
    str | None, typer.Option(metavar="[TYPE:]COUNT", help="Such as 4, 2..8 or emulated-a100:2.")
]
ChipOption = Annotated[
    list[str] | None,
    typer.Option(metavar="WISH", help="any, a type, a vendor; repeat in order of preference."),
]
ShareOption = Annotated[
    float | None, typer.Option(metavar="PART", help="Part of one chip, such as 0.5.")
]
MixOption = Annotated[bool, typer.Option("--mix", help="The job may span chip types.")]
CoresOption = Annotated[float | None, typer.Option(metavar="N", help="Host cores per replica.")]
HostMemoryOption = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Host memory per replica, such as 2GiB.")
]
ReplicasOption = Annotated[int | None, typer.Option(metavar="N", help="Number of replicas.")]
RetryOption = Annotated[
    int | None, typer.Option(metavar="N", help="How often its own failures are tried again.")
]
DurationOption = Annotated[
    str | None,
    typer.Option("--max-duration", metavar="TIME", help="Stop it after this long, such as 2h."),
]
WorkdirOption = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="Where it starts, on its node; default: an empty folder."),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="KEY=VALUE", help="For its environment; repeatable."),
]
LabelOption = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Repeatable.")
]
