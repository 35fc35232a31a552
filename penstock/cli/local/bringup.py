"""Brings a local cloud up: starts what is not running, waits for it, says where it is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from penstock.cli.config import DEFAULT_PORT, LOCAL, Context, read_contexts, write_contexts
from penstock.cli.local import accelerators, processes, starting
from penstock.cli.local.home import Daemon, Home
from penstock.cli.local.starting import AgentWish, Wish
from penstock.cli.local.stopping import PROCESS_GRACE_S
from penstock.cli.session import Session, open_http
from penstock.cli.text import clean
from penstock.cli.units import counts
from penstock.client import routes


class BringUp:
    """One run of `up`. Each step does nothing where its result is there already."""

    def __init__(self, session: Session, home: Home, wish: Wish) -> None:
        self._session = session
        self._home = home
        self._wish = wish

    def run(self, *, with_agent: bool) -> None:
        """All steps. Raises CliError when one fails; what was started by then stays."""
        is_first = self._home.admin_token() is None
        server = self._server()
        context = Context(server.url, self._home.admin_token())
        self._save(context)
        if with_agent:
            self._agent(context)
        if is_first and context.token:
            self._say(f"  admin token: {context.token}")
            self._say(f"  (shown this once; kept in {self._home.admin_token_file})")
        self._say(f"  next: penstock{self._home_option()} job submit --follow -- echo hello")

    def _server(self) -> Daemon:
        server, started = self._home.server(), time.monotonic()
        if server is None:
            server = starting.start_server(self._home, self._wish)
            starting.await_ready(self._home, server)
            took_s = time.monotonic() - started
            self._say(f"penstock is up at {server.url} (ready in {took_s:.1f} s)")
            self._say_port(server)
        else:
            starting.await_ready(self._home, server)
            self._say(f"penstock is running already at {server.url}")
            if self._wish.port and not server.url.endswith(f":{self._wish.port}"):
                self._say("  it keeps its port: run `penstock down` first to change it")
        return server

    def _agent(self, context: Context) -> None:
        agent = self._home.agent()
        if agent is not None and agent.url != context.server:
            self._say("  the server has another address now: starting the agent anew")
            processes.stop(agent.process, PROCESS_GRACE_S)
            agent = None
        if agent is None:
            emulate = self._chips()
            token = None if starting.has_enrolled(self._home) else self._join_token(context)
            name = starting.node_name()
            agent_wish = AgentWish(context.server, name, emulate, join_token=token)
            agent = starting.start_agent(self._home, agent_wish)
        elif self._wish.emulate not in (None, _emulated_by(agent)):
            self._say("  the agent keeps its chips: run `penstock down` first to change them")
        node = starting.await_joined(self._home, agent, context)
        self._say(f"  node {clean(node['name'])}: {_fleet(node)}")

    def _chips(self) -> str:
        """What to emulate; says so where nobody asked for it."""
        if self._wish.emulate is not None:
            return self._wish.emulate
        if accelerators.usable_vendors():
            return ""
        self._say(
            "  no accelerator found: presenting emulated chips (processes on declared limits)"
        )
        return accelerators.DEFAULT_EMULATED

    def _join_token(self, context: Context) -> str:
        with open_http(context) as http:
            made: Mapping[str, Any] = http.document(routes.create("join-tokens", {}))
        return str(made["token"])

    def _save(self, context: Context) -> None:
        """Later commands talk to this cloud."""
        path = self._session.settings.home
        contexts = read_contexts(path)
        if contexts.current not in (None, LOCAL):
            self._say(f"  commands talk to this cloud now, no longer to {contexts.current}")
        write_contexts(path, contexts.with_entry(LOCAL, context))

    def _say_port(self, server: Daemon) -> None:
        usual = f":{DEFAULT_PORT}"
        if self._wish.port is None and not server.url.endswith(usual):
            self._say(f"  (port {usual[1:]} was taken, or another one was used before)")

    def _home_option(self) -> str:
        return "" if self._session.settings.is_usual_home else f" --home {self._home.path}"

    def _say(self, text: str) -> None:
        self._session.console.result(text)


def _emulated_by(agent: Daemon) -> str:
    words = agent.command
    return words[words.index("--emulate") + 1] if "--emulate" in words else ""


def _fleet(node: Mapping[str, Any]) -> str:
    chips: Mapping[str, int] = node["chips"]
    emulated = any(name.startswith("emulated-") for name in chips)
    return counts(chips).replace(",", ", ") + (" (emulated ones are marked so)" if emulated else "")
