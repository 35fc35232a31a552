"""`penstock plan`: the dry run of a job, also as `job submit --dry-run`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from penstock.cli.failures import ExitCode
from penstock.cli.options import Format, output_option
from penstock.cli.output.show import show_data
from penstock.cli.session import Session
from penstock.cli.spec.file import load_spec
from penstock.cli.spec.options import TakesCommand, describing
from penstock.cli.terminal.text import clean
from penstock.client.requests import Document
from penstock.words import thousandths


@click.command(cls=TakesCommand)
@describing
@output_option
@click.pass_obj
def plan(session: Session, /, file: str | None, output: Format, **given: Any) -> int:
    """Say whether a job would fit now, and if not, why.

    Nothing is submitted. Exits 0 if it fits and 1 if it does not.
    """
    return dry_run(session, load_spec(file, given, session.tail), output)


def dry_run(session: Session, spec: Mapping[str, object], form: Format) -> int:
    """Shows the server's answer; returns the exit status."""
    answer = session.api().plan(spec)
    if not show_data(session.console, answer, form):
        session.console.result("\n".join(_lines(answer)))
    return ExitCode.DONE if answer["fits"] else ExitCode.FAILED


def _lines(answer: Document) -> list[str]:
    lines = [clean(answer["sentence"])]
    for replica in answer.get("replicas") or []:
        chips = ", ".join(
            f"{thousandths(milli)} {name}" for name, milli in sorted(replica["chips"].items())
        )
        lines.append(f"  rank {replica['rank']} on {clean(replica['node'])}: {chips or 'no chip'}")
    if answer.get("preempts"):
        lines.append(f"  would preempt: {', '.join(map(clean, answer['preempts']))}")
    lines += reasons(answer)
    return lines


def reasons(answer: Document) -> list[str]:
    """What removed how many chips, and what would unblock it; as lines."""
    lines = []
    for removal in answer.get("removals") or []:
        message, chips = clean(removal["message"]), removal["chips"]
        counts = ", ".join(f"{count} {name}" for name, count in sorted(chips.items()))
        is_complete = not counts or all(name in message for name in chips)
        lines.append(f"  {message}" if is_complete else f"  {message}: {counts}")
    lines += [f"  to unblock: {clean(one)}" for one in answer.get("unblock") or []]
    return lines
