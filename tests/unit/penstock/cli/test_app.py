"""The command tree: the quick one says the same as the full one, and the guide is current."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer.main

from penstock.cli.app import BRANCHES, build
from penstock.cli.completing import candidates
from penstock.cli.config import Settings
from penstock.cli.help import FILE, help_for
from penstock.cli.reference import help_file, helps, reference
from penstock.cli.session import Session
from penstock.cli.terminal.console import Console

ROOT = Path(__file__).parents[4]


def tree(wanted: str | None = None) -> Any:
    return typer.main.get_command(build(wanted))


def completed(*words: str) -> list[str]:
    nowhere = Settings(home=Path("/nonexistent"), server="nowhere")
    return candidates(Session(nowhere, Console(color=False)), tree(), list(words))


def test_a_branch_that_is_not_built_has_the_help_that_it_has_when_built() -> None:
    full, quick = tree().commands, tree("nothing").commands
    assert {name: one.get_short_help_str(200) for name, one in full.items() if not one.hidden} == {
        name: one.get_short_help_str(200) for name, one in quick.items()
    }


@pytest.mark.parametrize("branch", [branch.name for branch in BRANCHES])
def test_a_branch_built_alone_has_all_its_commands(branch: str) -> None:
    full, alone = tree().commands[branch], tree(branch).commands[branch]
    assert sorted(getattr(alone, "commands", {})) == sorted(getattr(full, "commands", {}))
    assert [param.name for param in alone.params] == [param.name for param in full.params]


def test_the_guide_is_made_of_the_commands_own_help() -> None:
    guide = (ROOT / "docs/guides/cli.md").read_text(encoding="utf-8")
    assert guide == reference(), "python -m penstock.cli.reference > docs/guides/cli.md"


def test_the_help_that_is_printed_from_a_file_is_the_commands_own() -> None:
    how = "python -m penstock.cli.reference --help-file > penstock/cli/help.txt"
    assert Path(FILE).read_text(encoding="utf-8") == help_file(), how


@pytest.mark.parametrize(
    "words,path",
    [
        (["--help"], "penstock"),
        (["-h"], "penstock"),
        (["job", "--help"], "penstock job"),
        (["job", "submit", "-h", "x"], "penstock job submit"),
        (["--home", "job", "job", "get", "some-name", "--no-color", "--help"], "penstock job get"),
        (["--server=x", "job", "list", "--limit", "3", "--help"], "penstock job list"),
        (["job", "submit", "--help", "--", "ls", "--help"], "penstock job submit"),
    ],
)
def test_help_is_found_wherever_it_is_asked_for(words: list[str], path: str) -> None:
    text = help_for(words)
    assert text == helps()[path]


@pytest.mark.parametrize(
    "words", [[], ["job"], ["job", "nonsense", "--help"], ["job", "submit", "--", "ls", "--help"]]
)
def test_other_words_are_left_to_the_commands(words: list[str]) -> None:
    assert help_for(words) is None


def test_every_command_says_what_it_does() -> None:
    def walk(command: Any) -> None:
        assert command.get_short_help_str(200), command.name
        for inner in getattr(command, "commands", {}).values():
            walk(inner)

    walk(tree())


@pytest.mark.parametrize(
    "words,found",
    [
        (["j"], ["job"]),
        (["job", "ca"], ["cancel"]),
        (["--home", "/tmp", "queue", ""], ["get", "list", "set"]),
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


def test_hidden_commands_are_not_completed() -> None:
    assert "complete-words" not in completed("")
