"""The command in this process, against the real application, with a home of its own."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from penstock.cli.run import run
from tests.fakes.cloud import Cloud


class Result(NamedTuple):
    """How one command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def environ(cloud: Cloud, cloud_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment in which commands run."""
    return {
        "PENSTOCK_HOME": str(tmp_path / "home"),
        "PENSTOCK_SERVER": cloud_url,
        "PENSTOCK_TOKEN": cloud.admin,
    }


@pytest.fixture
def cli(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """Runs one command: `cli("job", "list", stdin="…")`; a variable that is None is not set."""

    def call(*arguments: str, stdin: str | bytes = "", **env: str | None) -> Result:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        capsys.readouterr()
        given = {**environ, **env}
        code = run(arguments, {name: value for name, value in given.items() if value is not None})
        shown = capsys.readouterr()
        return Result(code, shown.out, shown.err)

    return call
