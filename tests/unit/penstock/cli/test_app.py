"""The command tree: its table says what the commands say, and the guide is current."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from penstock.cli.app import root
from penstock.cli.config import Settings
from penstock.cli.session import Session
from penstock.cli.terminal.console import Console
from tests.contract.cli_reference import reference

ROOT = Path(__file__).parents[4]


def completed(*words: str) -> list[str]:
    nowhere = Settings(home=Path("/nonexistent"), server="nowhere")
    session = Session(nowhere, Console(color=False))
    asked = BashComplete(root(), {"obj": session}, "penstock", "_PENSTOCK_COMPLETE")
    found = asked.get_completions(list(words[:-1]), words[-1])
    return [item.value for item in found if item.type == "plain"]


def walk(group: click.Command, path: str = "penstock") -> Iterator[tuple[str, str, click.Command]]:
    """Path, line of help in the table, command."""
    if isinstance(group, click.Group):
        context = click.Context(group)
        formatter = click.HelpFormatter(width=1000)
        group.format_commands(context, formatter)
        lines = [line.split(maxsplit=1) for line in formatter.getvalue().splitlines()[1:]]
        for name, about in lines:
            inner = group.get_command(context, name)
            assert inner is not None, name
            yield f"{path} {name}", about, inner
            yield from walk(inner, f"{path} {name}")


def test_the_table_says_of_each_command_what_it_says_itself() -> None:
    found = list(walk(root()))
    assert len(found) > 40
    for path, about, command in found:
        assert about == command.get_short_help_str(200), path


def test_the_guide_is_made_of_the_commands_own_help() -> None:
    guide = (ROOT / "docs/guides/cli.md").read_text(encoding="utf-8")
    assert guide == reference(), "python -m tests.contract.cli_reference > docs/guides/cli.md"


@pytest.mark.parametrize(
    "words,found",
    [
        (["j"], ["job"]),
        (["job", "ca"], ["cancel"]),
        (["--home", "/tmp", "queue", ""], ["list", "get", "set"]),
        (["job", "submit", "--max"], ["--max-duration"]),
        (["job", "submit", "--name", ""], []),
        (["job", "submit", "--", ""], []),
        (["job", "get", "x"], []),
        (["nonsense", ""], []),
        (["--no"], ["--no-color"]),
    ],
)
def test_completion_knows_commands_and_options(words: list[str], found: list[str]) -> None:
    assert completed(*words) == found


def test_completion_imports_the_command_that_is_typed_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands = "penstock.cli.commands."
    for name in [one for one in sys.modules if one.startswith(commands)]:
        monkeypatch.delitem(sys.modules, name)
    assert "cordon" in completed("node", "")
    assert completed("queue", "set", "--he") == ["--help"]
    assert {name for name in sys.modules if name.startswith(commands)} == {f"{commands}pool"}
