"""Brings a local cloud up: starts what is not running, waits for it, says where it is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from penstock.addresses import bracketed, host_of, is_loopback, is_wildcard, outward
from penstock.cli.config import DEFAULT_PORT, LOCAL, Context, read_contexts, write_contexts
from penstock.cli.failures import CliError, ClosedPipe, ExitCode
from penstock.cli.local import accelerators, processes, starting
from penstock.cli.local.home import Daemon, Home
from penstock.cli.local.starting import DEFAULT_HOST, AgentWish, Wish
from penstock.cli.local.stopping import PROCESS_GRACE_S, reopen
from penstock.cli.session import Session, open_api
from penstock.cli.terminal.text import clean
from penstock.client.errors import ApiError
from penstock.words import counts

RECOVERY_S: Final = 15.0
"""So long a server that runs has to get ready by itself: a leader's term, and some."""
_ANEW: Final = "run `penstock down` first"


class BringUp:
    """One run of `up`. Each step does nothing where its result is there already.

    What there is to say is said at the end: a reader that goes away stops nothing half-way.
    """

    def __init__(self, session: Session, home: Home, wish: Wish) -> None:
        self._session = session
        self._home = home
        self._wish = wish
        self._header = ""
        self._lines: list[str] = []

    def run(self, *, with_agent: bool) -> None:
        """All steps. Raises CliError when one fails; what was started by then stays."""
        if with_agent:
            _check_agent(self._home)
        had_token = self._home.admin_token() is not None
        server = self._server()
        try:
            context = self._login(server)
            self._say_token(had_token)
            if with_agent:
                self._agent(context, server)
        except CliError:
            self._header = f"the server runs at {server.url}, but something failed:"
            raise
        else:
            self._say(f"  next: penstock{self._home_option()} job submit --follow -- echo hello")
        finally:
            self._tell()

    def _server(self) -> Daemon:
        server, started = self._home.server(), time.monotonic()
        if server is None:
            has_ended = self._home.server_file.exists()
            server = starting.start_server(self._home, self._wish)
            starting.await_ready(self._home, server)
            took_s = time.monotonic() - started
            self._header = f"penstock is up at {server.url} (ready in {took_s:.1f} s)"
            if has_ended:
                self._say("  the server had ended without `penstock down`: started again")
            self._say_port(server)
            self._say_all_addresses(server)
        else:
            self._header = f"penstock is running already at {server.url}"
            server = self._mended(server)
            self._say_all_addresses(server)
            for line in ignored_by_server(self._wish, server):
                self._say(f"  {line}")
        return server

    def _mended(self, server: Daemon) -> Daemon:
        """Starts a server anew that does not get ready again by itself. Jobs go on meanwhile."""
        why = starting.unready(server, RECOVERY_S)
        if why is None:
            starting.await_ready(self._home, server)
            return server
        for folder, what in self._home.full_disks():
            raise CliError(
                "disk_full",
                f"the server at {server.url} is not ready: {why}",
                hint=f"the disk of {folder} {what}: make room there, and it goes on by itself",
                exit_code=ExitCode.FAILED,
            )
        processes.stop(server.process, PROCESS_GRACE_S)
        anew = starting.start_again(self._home, server)
        starting.await_ready(self._home, anew)
        self._header = f"penstock is up at {anew.url}"
        self._say(f"  the server ran but was not ready ({why}): started again, jobs went on")
        return anew

    def _agent(self, context: Context, server: Daemon) -> None:
        agent, why_join = self._home.agent(), starting.why_join(self._home, context)
        if agent is not None and agent.url != context.server:
            self._say("  the server has another address now: starting the agent anew")
            processes.stop(agent.process, PROCESS_GRACE_S)
            agent = None
        elif why_join is not None:
            self._say(f"  {why_join}: it joins anew")
            if agent is not None:
                processes.stop(agent.process, PROCESS_GRACE_S)
            agent = None
        elif agent is None and self._home.last_agent() is not None:
            self._say("  the agent had ended without `penstock down`: started again")
        if agent is None:
            is_known = starting.has_enrolled(self._home) and why_join is None
            agent = self._start_agent(context, server, is_known)
        elif self._wish.emulate not in (None, agent.option("--emulate") or ""):
            self._say(f"  --emulate is ignored, the agent runs already: to change chips, {_ANEW}")
        node = starting.await_joined(self._home, agent, context)
        with open_api(context) as api:
            reopen(api, self._home)
        self._say(f"  node {clean(node['name'])}: {_fleet(node)}")

    def _start_agent(self, context: Context, server: Daemon, is_known: bool) -> Daemon:
        """The replicas of this node are reached where the server is; plain http to an address of
        this machine's own stays on this machine.
        """
        emulate = self._chips()
        host = server.option("--host") or DEFAULT_HOST
        wish = AgentWish(
            context.server,
            starting.node_name(),
            emulate,
            join_token=None if is_known else self._join_token(context),
            insecure=not is_loopback(host_of(context.server)),
            address=None if is_loopback(host) else bracketed(outward(host)),
        )
        return starting.start_agent(self._home, wish)

    def _chips(self) -> str:
        """What to emulate: as asked, else as before; says so where nobody asked for it."""
        if self._wish.emulate is not None:
            return self._wish.emulate
        last = self._home.last_agent()
        if last is not None:
            return last.option("--emulate") or ""
        if accelerators.usable_vendors():
            return ""
        self._say(
            "  no accelerator found: presenting emulated chips (processes on declared limits)"
        )
        return accelerators.DEFAULT_EMULATED

    def _join_token(self, context: Context) -> str:
        with open_api(context) as api:
            return str(api.nodes.join_token()["token"])

    def _login(self, server: Daemon) -> Context:
        """Later commands talk to this cloud, with the token saved before if its file is gone."""
        path = self._session.settings.home
        contexts = read_contexts(path)
        saved = contexts.entries.get(LOCAL)
        token = self._home.admin_token() or (saved.token if saved else None)
        context = Context(server.url, token)
        _check_login(self._home, context)
        if contexts.current not in (None, LOCAL):
            self._say(f"  commands talk to this cloud now, no longer to {contexts.current}")
        write_contexts(path, contexts.with_entry(LOCAL, context))
        return context

    def _say_token(self, had_token: bool) -> None:
        token = self._home.admin_token()
        if token and not had_token:
            self._say(f"  admin token: {token}")
            self._say(f"  (shown this once; kept in {self._home.admin_token_file})")

    def _say_port(self, server: Daemon) -> None:
        usual = f":{DEFAULT_PORT}"
        if self._wish.port is None and not server.url.endswith(usual):
            self._say(f"  (port {usual[1:]} was taken, or another one was used before)")

    def _say_all_addresses(self, server: Daemon) -> None:
        host = server.option("--host") or DEFAULT_HOST
        addresses = all_addresses(host, outward(host), server)
        if addresses is not None:
            self._say(f"  {addresses}")

    def _home_option(self) -> str:
        return "" if self._session.settings.is_usual_home else f" --home {self._home.path}"

    def _say(self, text: str) -> None:
        self._lines.append(text)

    def _tell(self) -> None:
        try:
            self._session.console.result("\n".join([self._header, *self._lines]))
        except ClosedPipe:
            return  # the cloud is there all the same


def all_addresses(host: str, others: str, server: Daemon) -> str | None:
    """What is said where the server listens on all addresses; others reach us at `others`."""
    if not is_wildcard(host):
        return None
    if is_loopback(others):
        return "it listens on all addresses of this machine"
    port = server.url.rpartition(":")[2]
    return f"it listens on all addresses; others reach it at http://{bracketed(others)}:{port}"


def ignored_by_server(wish: Wish, server: Daemon) -> list[str]:
    """What was asked for now and does not change a server that runs; a sentence each."""
    found = []
    if wish.port and not server.url.endswith(f":{wish.port}"):
        found.append(f"--port is ignored, the server keeps its port: to change it, {_ANEW}")
    if not wish.auth and "--no-auth" not in server.command:
        found.append(f"--no-auth is ignored, the server asks for tokens: to change that, {_ANEW}")
    if wish.host != DEFAULT_HOST and wish.host not in server.command:
        found.append(f"--host is ignored, the server keeps its address: to change it, {_ANEW}")
    return found


def _check_agent(home: Home) -> None:
    """Raises CliError where the agent of this home is a node of another cloud."""
    url = home.foreign_cloud()
    if url is not None:
        raise CliError(
            "agent_elsewhere",
            f"the agent of {home.path} is a node of the cloud at {url}",
            hint="start a cloud in another folder with --home, or only a server with --no-agent; "
            "to take this node away from there: `penstock down`, then remove "
            f"{home.agent_dir}",
            exit_code=ExitCode.FAILED,
        )


def _check_login(home: Home, context: Context) -> None:
    try:
        with open_api(context) as api:
            api.whoami()
    except ApiError as error:
        if error.status not in (401, 403):
            raise
        fault = "is not the one of this cloud" if context.token else "is missing"
        raise CliError(
            "no_admin_token",
            f"the admin token {fault}: {home.admin_token_file}",
            hint="put the file back, or start a new cloud in another folder with --home",
            exit_code=ExitCode.DENIED,
        ) from error


def _fleet(node: Mapping[str, Any]) -> str:
    chips: Mapping[str, int] = node["chips"]
    emulated = any(name.startswith("emulated-") for name in chips)
    return counts(chips).replace(",", ", ") + (" (emulated ones are marked so)" if emulated else "")
