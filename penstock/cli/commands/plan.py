"""`penstock plan`: the dry run of a job, also as `job submit --dry-run`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from penstock.cli.failures import ExitCode
from penstock.cli.options import Format, OutputOption
from penstock.cli.output.show import data_text
from penstock.cli.session import Session, session_of
from penstock.cli.spec import options as given
from penstock.cli.spec.file import SpecFlags, load_spec, parse_pairs
from penstock.cli.terminal.text import clean
from penstock.client import routes


def register(group: typer.Typer) -> None:
    group.command(cls=given.TakesCommand)(plan)


def plan(
    ctx: typer.Context,
    file: given.FileArgument = None,
    project: given.ProjectOption = None,
    queue: given.QueueOption = None,
    priority: given.PriorityOption = None,
    chips: given.ChipsOption = None,
    chip: given.ChipOption = None,
    share: given.ShareOption = None,
    mix: given.MixOption = False,
    cores: given.CoresOption = None,
    host_memory: given.HostMemoryOption = None,
    replicas: given.ReplicasOption = None,
    label: given.LabelOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Say whether a job would fit now, and if not, why.

    Nothing is submitted. Exits 0 if it fits and 1 if it does not.
    """
    flags = SpecFlags(
        project=project, queue=queue, priority=priority, chips=chips, chip=chip or (),
        share=share, mix=mix, cores=cores, host_memory=host_memory, replicas=replicas,
        labels=parse_pairs("--label", label or ()),
    )  # fmt: skip
    session = session_of(ctx)
    raise typer.Exit(dry_run(session, load_spec(file, flags, session.tail), output))


def dry_run(session: Session, spec: Mapping[str, Any], form: Format) -> int:
    """Shows the server's answer; returns the exit status."""
    answer = session.http().document(routes.plan(spec))
    if form in (Format.JSON, Format.YAML):
        session.console.result(data_text(session.console, answer, form))
    else:
        session.console.result("\n".join(_lines(answer)))
    return ExitCode.DONE if answer["fits"] else ExitCode.FAILED


def _lines(answer: Mapping[str, Any]) -> list[str]:
    lines = [clean(answer["sentence"])]
    for replica in answer.get("replicas") or []:
        chips = ", ".join(
            f"{milli / 1000:g} {name}" for name, milli in sorted(replica["chips"].items())
        )
        lines.append(f"  rank {replica['rank']} on {clean(replica['node'])}: {chips or 'no chip'}")
    if answer.get("preempts"):
        lines.append(f"  would preempt: {', '.join(map(clean, answer['preempts']))}")
    lines += reasons(answer)
    return lines


def reasons(answer: Mapping[str, Any]) -> list[str]:
    """What removed how many chips, and what would unblock it; as lines."""
    lines = []
    for removal in answer.get("removals") or []:
        message, chips = clean(removal["message"]), removal["chips"]
        counts = ", ".join(f"{count} {name}" for name, count in sorted(chips.items()))
        told = not counts or all(name in message for name in chips)
        lines.append(f"  {message}" if told else f"  {message}: {counts}")
    lines += [f"  to unblock: {clean(one)}" for one in answer.get("unblock") or []]
    return lines
