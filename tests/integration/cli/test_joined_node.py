"""On a node that joined another cloud, commands that look around look at that cloud."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.cli.config import read_settings
from penstock.cli.local.checks import check_client
from penstock.cli.local.home import Home
from penstock.cli.session import Session
from penstock.cli.terminal.console import Console
from tests.integration.cli.conftest import Cli

NO_LOGIN = {"PENSTOCK_SERVER": None, "PENSTOCK_TOKEN": None}


@pytest.fixture
def home(environ: dict[str, str], cloud_url: str) -> Path:
    """The home of a node that joined the server's cloud by hand."""
    path = Path(environ["PENSTOCK_HOME"])
    (path / "agent").mkdir(parents=True)
    Home(path).write_joined(cloud_url)
    return path


def test_its_status_is_about_its_cloud(cli: Cli, home: Path, cloud_url: str) -> None:
    result = cli("status", "-o", "json", **NO_LOGIN)
    found = json.loads(result.out)
    assert result.code == 0
    assert (found["address"], found["node_of"]) == (cloud_url, cloud_url)
    assert (found["reachable"], found["to_see_more"]) == (True, f"penstock login {cloud_url}")


def test_its_status_with_a_login_shows_the_pool(cli: Cli, home: Path, cloud_url: str) -> None:
    found = json.loads(cli("status", "-o", "json").out)
    assert (found["node_of"], found["nodes"]) == (cloud_url, {"ready": 1})


@pytest.mark.parametrize("runs", [True, False])
def test_its_doctor_never_advises_a_cloud_of_its_own(
    home: Path, cloud_url: str, runs: bool
) -> None:
    url = cloud_url if runs else "http://127.0.0.1:1"
    Home(home).write_joined(url)
    settings = read_settings({"PENSTOCK_HOME": str(home)})
    found = list(check_client(Session(settings, Console(color=False))))
    assert f"this machine is a node of the cloud at {url}" in [it["what"] for it in found]
    assert not [it for it in found if it["level"] == "error" or "penstock up" in it["advice"]]
    (told, *_) = [it for it in found if it["where"] == "login"] or found[-1:]
    assert url in told["advice"]
