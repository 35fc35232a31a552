"""`penstock doctor`: what was found, what is missing, what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from penstock.cli.failures import ExitCode
from penstock.cli.options import Format, output_option
from penstock.cli.output.show import show_data
from penstock.cli.output.tables import Paint
from penstock.cli.session import Session
from penstock.cli.terminal.text import clean
from penstock.client.requests import Document
from penstock.words import without_exponents

_MARKS: Final = {"ok": ("ok  ", "green"), "info": ("note", "blue"), "warning": ("WARN", "yellow"),
                 "error": ("FAIL", "red")}  # fmt: skip


@click.command()
@output_option
@click.pass_obj
def doctor(session: Session, output: Format) -> int:
    """Say what was found, what is missing, what to do.

    Looks at this installation, the server and this machine's chips, and changes nothing.
    Exits 1 if something does not work.
    """
    from penstock.cli.local.checks import check_client
    from penstock.cli.local.node_checks import check_node

    findings = [*check_client(session), *check_node(session)]
    if not show_data(session.console, findings, output):
        session.console.result(render(findings, session.console.color))
    failed = any(it["level"] == "error" for it in findings)
    return ExitCode.FAILED if failed else ExitCode.DONE


def render(findings: Sequence[Document], paint: Paint = lambda text, color: text) -> str:
    """One line per finding, what to do below it."""
    lines = []
    for it in findings:
        mark, color = _MARKS.get(it["level"], _MARKS["info"])
        lines.append(
            f"{paint(mark, color)}  {clean(it['where'])}: {clean(without_exponents(it['what']))}"
        )
        if it.get("advice"):
            lines.append(f"      → {clean(it['advice'])}")
    return "\n".join(lines)
