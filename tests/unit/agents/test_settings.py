"""Where an agent's settings come from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from agents.node.enrol import CannotJoin, check_transport
from agents.settings import read_settings


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_AGENT_NAME", "from-environment")
    monkeypatch.setenv("PENSTOCK_AGENT_ADDRESS", "10.0.0.9")
    settings = read_settings(["--name", "from-line", "--emulate", "emulated-a100:2"])
    assert (settings.name, settings.address) == ("from-line", "10.0.0.9")
    assert settings.emulated == "emulated-a100:2"


def test_the_join_token_may_come_without_showing_in_a_process_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PENSTOCK_AGENT_JOIN_TOKEN", "secret-token")
    settings = read_settings([])
    assert settings.token() == "secret-token"
    assert "secret-token" not in repr(settings)


def test_an_agents_own_variables_do_not_reach_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_AGENT_JOIN_TOKEN", "secret-token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-key")
    inherited = read_settings([]).inherited
    assert "PATH" in inherited
    assert not [it for it in inherited.values() if it.startswith("secret")]


def test_lists_are_written_with_commas() -> None:
    settings = read_settings(["--labels", "zone=a,rack=b=c", "--no-cpu-chip"])
    assert settings.labels == {"zone": "a", "rack": "b=c"}
    assert settings.skip_chips == ("cpu",)


@pytest.mark.parametrize(
    "argv", [["--name", "Not A Name"], ["--labels", "zone"], ["--metrics-port", "70000"]]
)
def test_wrong_settings_are_refused(argv: list[str]) -> None:
    with pytest.raises(ValidationError):
        read_settings(argv)


def test_a_range_of_ports_has_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_AGENT_FIRST_PORT", "30000")
    monkeypatch.setenv("PENSTOCK_AGENT_LAST_PORT", "20000")
    with pytest.raises(ValidationError, match="first_port is above last_port"):
        read_settings([])


def test_the_state_folder_is_a_path() -> None:
    assert read_settings(["--state-dir", "/somewhere"]).state_dir == Path("/somewhere")


@pytest.mark.parametrize(
    "server", ["http://127.0.0.1:7300", "http://localhost", "http://[::1]:1", "https://far.example"]
)
def test_a_credential_may_travel_where_nobody_listens(server: str) -> None:
    check_transport(server, insecure=False)


def test_a_credential_does_not_cross_a_network_in_the_clear() -> None:
    with pytest.raises(CannotJoin, match="unencrypted: use https"):
        check_transport("http://10.0.0.1:7300", insecure=False)
    check_transport("http://10.0.0.1:7300", insecure=True)


@pytest.mark.parametrize("server", ["10.0.0.1:7300", "ftp://host", "https://", ""])
def test_what_is_no_address_of_a_server_is_said_so(server: str) -> None:
    with pytest.raises(CannotJoin, match="not the address of a control plane"):
        check_transport(server, insecure=True)
