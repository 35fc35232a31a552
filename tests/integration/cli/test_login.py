"""Saved logins: checked before they are saved, readable by their owner only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.cloud import Cloud
from tests.integration.cli.conftest import Cli

NO_ENVIRONMENT = {"PENSTOCK_SERVER": None, "PENSTOCK_TOKEN": None}


def test_a_login_is_used_by_the_commands_that_follow(
    cli: Cli, cloud: Cloud, cloud_url: str
) -> None:
    result = cli("login", cloud_url, "--token", cloud.admin, **NO_ENVIRONMENT)
    assert result.out == f"logged in to {cloud_url} as admin (admin)\n"
    assert cli("job", "list", **NO_ENVIRONMENT).code == 0


def test_the_file_is_private_and_the_token_is_shown_nowhere(
    cli: Cli, cloud: Cloud, cloud_url: str, environ: dict[str, str]
) -> None:
    cli("login", cloud_url, "--token", cloud.admin, **NO_ENVIRONMENT)
    file = Path(environ["PENSTOCK_HOME"], "config.json")
    assert file.stat().st_mode & 0o777 == 0o600
    assert cloud.admin not in cli("context", "list", "-o", "json", **NO_ENVIRONMENT).out


def test_the_token_may_come_from_stdin(cli: Cli, cloud: Cloud, cloud_url: str) -> None:
    result = cli("login", cloud_url, "--token", "-", stdin=cloud.admin + "\n", **NO_ENVIRONMENT)
    assert result.code == 0


def test_a_token_that_is_refused_is_not_saved(
    cli: Cli, cloud: Cloud, cloud_url: str, environ: dict[str, str]
) -> None:
    assert cli("login", cloud_url, "--token", "wrong", **NO_ENVIRONMENT).code == 4
    assert not Path(environ["PENSTOCK_HOME"], "config.json").exists()


def test_logins_are_kept_by_name_and_switched(
    cli: Cli, cloud: Cloud, cloud_url: str, environ: dict[str, str]
) -> None:
    for name, token in (("root", cloud.admin), ("member", cloud.member)):
        cli("login", cloud_url, "--name", name, "--token", token, **NO_ENVIRONMENT)
    assert cli("token", "list", **NO_ENVIRONMENT).code == 4
    assert cli("token", "list", "--context", "root", **NO_ENVIRONMENT).code == 0
    cli("context", "use", "root", **NO_ENVIRONMENT)
    assert cli("token", "list", **NO_ENVIRONMENT).code == 0
    cli("logout", **NO_ENVIRONMENT)
    saved = json.loads(Path(environ["PENSTOCK_HOME"], "config.json").read_text())
    assert (saved["current"], list(saved["contexts"])) == (None, ["member"])


@pytest.mark.parametrize("name", ["PENSTOCK_TOKEN", "PENSTOCK_SERVER", "PENSTOCK_CONTEXT"])
def test_an_empty_variable_is_not_the_saved_login(
    cli: Cli, cloud: Cloud, cloud_url: str, name: str
) -> None:
    cli("login", cloud_url, "--token", cloud.admin, **NO_ENVIRONMENT)
    result = cli("token", "list", **{**NO_ENVIRONMENT, name: ""})
    assert (result.code, result.out) == (2, "")
    assert f"error: {name}" in result.err
    assert "is empty" in result.err


@pytest.mark.parametrize("option", ["--server", "--context"])
def test_an_empty_option_is_not_the_saved_login(
    cli: Cli, cloud: Cloud, cloud_url: str, option: str
) -> None:
    cli("login", cloud_url, "--token", cloud.admin, **NO_ENVIRONMENT)
    assert cli("token", "list", option, "", **NO_ENVIRONMENT).code == 2
