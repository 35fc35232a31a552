"""Settings: options beat the environment, and a saved token goes only to its own server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.cli.config import Context, Contexts, Settings, read_settings, resolve
from penstock.cli.failures import CliError

SAVED = {
    "current": "local",
    "contexts": {
        "local": {"server": "http://127.0.0.1:8470", "token": "local-token"},
        "far": {"server": "https://far.example", "token": "far-token"},
    },
}


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose contexts file exists only in memory."""
    monkeypatch.setattr(Path, "read_text", lambda self, **_: json.dumps(SAVED))
    return Path("/nonexistent")


def test_the_environment_is_read_and_options_beat_it() -> None:
    settings = read_settings({"PENSTOCK_HOME": "/a", "PENSTOCK_SERVER": "s", "NO_COLOR": "1"})
    assert (settings.home, settings.server, settings.color) == (Path("/a"), "s", False)
    given = settings.with_options(Path("/b"), "t", None, no_color=False)
    assert (given.home, given.server, given.color) == (Path("/b"), "t", False)


def test_the_current_login_is_used(home: Path) -> None:
    assert resolve(Settings(home)) == Context("http://127.0.0.1:8470", "local-token")


def test_a_named_login_is_used(home: Path) -> None:
    assert resolve(Settings(home, context="far")) == Context("https://far.example", "far-token")


def test_a_saved_token_is_never_sent_to_another_server(home: Path) -> None:
    assert resolve(Settings(home, server="https://evil.example")).token is None


def test_a_server_that_a_login_was_saved_for_gets_its_token(home: Path) -> None:
    assert resolve(Settings(home, server="https://far.example")).token == "far-token"


def test_a_token_of_the_environment_beats_the_saved_one(home: Path) -> None:
    assert resolve(Settings(home, token="mine")).token == "mine"


def test_an_unknown_login_lists_those_there_are(home: Path) -> None:
    with pytest.raises(CliError) as caught:
        resolve(Settings(home, context="fra"))
    assert caught.value.document["hint"] == "there are: local, far"


def test_a_broken_file_is_told_and_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self, **_: "{")
    with pytest.raises(CliError, match="is not a contexts file"):
        resolve(Settings(Path("/nonexistent")))


def test_no_setting_shows_its_token() -> None:
    shown = repr((Settings(Path("/a"), token="secret"), Context("s", "secret")))
    assert "secret" not in shown


def test_forgetting_the_current_login_leaves_none_current() -> None:
    contexts = Contexts().with_entry("a", Context("s")).with_entry("b", Context("t"))
    assert contexts.current == "b"
    assert contexts.without("b").current is None
    assert contexts.without("a").current == "b"
