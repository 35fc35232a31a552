"""Plain values skip Typer's conversion; everything else keeps it."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
import typer.main

from penstock.cli.quick import quicken


class Color(StrEnum):
    RED = "red"


def parsed(*arguments: str) -> dict[str, Any]:
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    seen: dict[str, Any] = {}

    @app.command()
    def command(
        text: str,
        many: Annotated[list[str] | None, typer.Option()] = None,
        number: Annotated[int, typer.Option(min=0)] = 7,
        path: Annotated[Path | None, typer.Option()] = None,
        color: Annotated[Color, typer.Option()] = Color.RED,
        flag: Annotated[bool, typer.Option("--flag")] = False,
    ) -> None:
        seen.update(text=text, many=many, number=number, path=path, color=color, flag=flag)

    quicken(typer.main.get_command(app)).main(args=list(arguments), standalone_mode=False)
    return seen


def test_defaults_are_as_written() -> None:
    assert parsed("x") == {
        "text": "x", "many": None, "number": 7, "path": None, "color": Color.RED, "flag": False,
    }  # fmt: skip


def test_given_values_have_their_types() -> None:
    found = parsed("x", "--many", "a", "--many", "b", "--number", "3", "--path", "/p",
                   "--color", "red", "--flag")  # fmt: skip
    assert found == {
        "text": "x", "many": ["a", "b"], "number": 3, "path": Path("/p"), "color": Color.RED,
        "flag": True,
    }  # fmt: skip
    assert isinstance(found["color"], Color)


@pytest.mark.parametrize("wrong", [["--number", "-1"], ["--number", "x"], ["--color", "blue"]])
def test_wrong_values_are_refused_in_typers_words(wrong: list[str]) -> None:
    with pytest.raises(Exception, match=r"greater than|valid integer|not one of"):
        parsed("x", *wrong)


def test_plain_values_do_not_import_the_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "typer._adapters", raising=False)
    parsed("x", "--many", "a")
    assert "typer._adapters" not in sys.modules
