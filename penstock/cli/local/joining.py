"""Joins this machine to a cloud elsewhere: starts a node agent with a token made there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from penstock.cli.config import resolve
from penstock.cli.failures import CliError, ExitCode
from penstock.cli.local import accelerators, starting
from penstock.cli.local.home import Home
from penstock.cli.session import Session

TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Join:
    """What `node join --token` was told."""

    token: str = field(repr=False)
    name: str | None = None
    emulate: str = ""
    ca_file: str | None = None
    insecure: bool = False


def join_this_machine(session: Session, join: Join) -> str:
    """Starts the agent and waits until it has enrolled; says so. Raises CliError."""
    home = Home(session.settings.home)
    server = resolve(session.settings).server
    if join.emulate:
        accelerators.check_emulated(join.emulate)
    with home.locked():
        if home.agent() is not None:
            raise CliError(
                "agent_runs", f"an agent of {home.path} runs already",
                hint="stop it first: penstock down", exit_code=ExitCode.FAILED,
            )  # fmt: skip
        wish = starting.AgentWish(
            url=server, node=join.name or starting.node_name(), emulate=join.emulate,
            join_token=join.token, ca_file=join.ca_file, insecure=join.insecure,
        )  # fmt: skip
        agent = starting.start_agent(home, wish)
        starting.await_enrolled(home, agent, TIMEOUT_S)
        home.write_joined(server)
    return f"{wish.node} has joined {server}; its log: {home.log('agent')}"
