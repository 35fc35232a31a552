"""Starts the two processes of a local cloud, each only if it is not running."""

from __future__ import annotations

import importlib.util
import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from penstock.addresses import bracketed, is_loopback
from penstock.api.states import NodeIntent
from penstock.cli.config import DEFAULT_PORT, Context, child_environment
from penstock.cli.failures import CliError, ExitCode
from penstock.cli.local import processes
from penstock.cli.local.accelerators import check_emulated
from penstock.cli.local.home import Daemon, Home
from penstock.cli.session import open_probe
from penstock.client.errors import ApiError, ConnectionFailed
from penstock.client.synchronous import DocumentClient
from penstock.disk_room import obstacle
from penstock.private_files import write_private

DEFAULT_HOST: Final = "127.0.0.1"
READY_TIMEOUT_S: Final = 60.0
JOIN_TIMEOUT_S: Final = 60.0
ENROL_TIMEOUT_S: Final = 30.0
TAIL_LINES: Final = 12
_NUM_PORTS: Final = 100
_MOST_LOG: Final = 40_000
_TRACEBACK: Final = "Traceback (most recent call last)"
_FULL: Final = re.compile(
    "no space left on device|disk quota exceeded|database or disk is full|read-only file system",
    re.IGNORECASE,
)
_DAMAGED: Final = ("file is not a database", "disk image is malformed", "malformed database")


@dataclass(frozen=True, slots=True)
class Wish:
    """What `up` was asked for. `port` None: the usual one, or the next that is free."""

    host: str = DEFAULT_HOST
    port: int | None = None
    auth: bool = True
    emulate: str | None = None
    """TYPE:COUNT,…; empty for none, None for what suits this machine."""


@dataclass(frozen=True, slots=True)
class AgentWish:
    """How an agent is to be started. The token is needed once, to enrol."""

    url: str
    node: str
    emulate: str = ""
    join_token: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    insecure: bool = False
    address: str | None = None
    """Where other nodes reach its replicas; None: as it reaches the server."""


def check_host(wish: Wish) -> None:
    """Raises CliError for an address that others can reach while authentication is off."""
    if not wish.auth and not is_loopback(wish.host):
        raise CliError(
            "public_without_auth",
            f"refusing to listen on {wish.host} without authentication",
            hint="leave --no-auth out, or listen on 127.0.0.1",
        )


def start_server(home: Home, wish: Wish) -> Daemon:
    """Starts the control plane; returns before it is ready. Raises CliError."""
    _require("control_plane", "uvicorn", "server")
    port = _choose_port(home, wish)
    command = [
        *_python("control_plane"),
        "serve",
        "--home",
        str(home.path),
        "--host",
        wish.host,
        "--port",
        str(port),
        *(["--no-auth"] if not wish.auth else []),
    ]
    daemon = _start(home, "server", command, f"http://{_reachable(wish.host)}:{port}")
    home.write_server(daemon)
    return daemon


def start_agent(home: Home, wish: AgentWish) -> Daemon:
    """Starts the node agent; returns before it has joined. Raises CliError."""
    _require("agents", "psutil", "agent")
    command = [
        *_python("agents"),
        "--server",
        wish.url,
        "--state-dir",
        str(home.agent_dir),
        "--name",
        wish.node,
        *(["--emulate", wish.emulate] if wish.emulate else []),
        *(["--ca-file", wish.ca_file] if wish.ca_file else []),
        *(["--insecure"] if wish.insecure else []),
        *(["--address", wish.address] if wish.address else []),
    ]
    if wish.join_token:
        # In a variable it would stay readable to jobs; the agent removes the file.
        home.join_token_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(home.join_token_file, wish.join_token + "\n")
        command += ["--join-token-file", str(home.join_token_file)]
    daemon = _start(home, "agent", command, wish.url)
    home.write(home.agent_file, daemon)
    return daemon


def join_this_machine(home: Home, wish: AgentWish) -> str:
    """Starts an agent for a cloud elsewhere, and waits until it has enrolled; says so. Raises
    CliError.
    """
    if wish.emulate:
        check_emulated(wish.emulate)
    with home.locked():
        if home.agent() is not None:
            raise CliError(
                "agent_runs",
                f"an agent of {home.path} runs already",
                hint="stop it first: penstock down",
                exit_code=ExitCode.FAILED,
            )
        await_enrolled(home, start_agent(home, wish), ENROL_TIMEOUT_S)
        home.write_joined(wish.url)
    return f"{wish.node} has joined {wish.url}; its log: {home.log('agent')}"


def await_ready(home: Home, server: Daemon) -> None:
    """Returns once the API is ready. Raises CliError if the process ends or it takes too long."""
    found = unready(server, READY_TIMEOUT_S) is None
    _check(found, server, home.log("server"), "the server", READY_TIMEOUT_S)


def unready(server: Daemon, patience_s: float) -> str | None:
    """What is not ready of a server that runs, once it had time to recover; None: it is ready."""
    reason = ""

    def ready() -> bool:
        nonlocal reason
        try:
            api.ready()
        except ApiError as error:
            parts: list[dict[str, Any]] = error.document.get("errors") or []
            reason = "; ".join(
                f"{it['pointer'].rpartition('/')[2]} {it['message']}" for it in parts
            )
            reason = reason or str(error)
        except ConnectionFailed:
            reason = "it does not answer"
        else:
            reason = ""
        return not reason

    with open_probe(Context(server.url)) as api:
        found = processes.wait(lambda: not server.process.is_alive() or ready(), patience_s)
    return None if found else reason


def start_again(home: Home, server: Daemon) -> Daemon:
    """A server as it was started before; returns before it is ready."""
    daemon = _start(home, "server", server.command, server.url)
    home.write_server(daemon)
    return daemon


def await_joined(home: Home, agent: Daemon, context: Context) -> dict[str, Any]:
    """The node's document once it is ready. Raises CliError like `await_ready`."""
    name = agent.option("--name") or ""
    node: dict[str, Any] = {}

    def joined() -> bool:
        node.update(_node(api, name) or {})
        return bool(node) and node["health"]["state"] == "ready" and _heard(node, agent)

    with open_probe(context) as api:
        found = processes.wait(lambda: not agent.process.is_alive() or joined(), JOIN_TIMEOUT_S)
    _check(found, agent, home.log("agent"), "the agent", JOIN_TIMEOUT_S)
    return node


def await_enrolled(home: Home, agent: Daemon, timeout_s: float) -> None:
    """Returns once the agent has its own credential. Raises CliError like `await_ready`."""
    found = processes.wait(lambda: not agent.process.is_alive() or has_enrolled(home), timeout_s)
    _check(found, agent, home.log("agent"), "the agent", timeout_s)


def has_enrolled(home: Home) -> bool:
    """Whether the node agent of this home has a credential of its own."""
    return (home.agent_dir / "credential").exists()


def why_join(home: Home, context: Context) -> str | None:
    """Why this home's node cannot go on as it is: it was taken out of the pool for good, or the
    server's database is another one than it joined. None where it can, or has never joined.
    """
    if not has_enrolled(home):
        return None
    try:
        with open_probe(context) as api:
            node = api.nodes.get(home.node_id() or node_name())
    except ConnectionFailed:
        return None
    except ApiError as error:
        return "the server does not know this node" if error.status == 404 else None
    retired = node["intent"]["state"] == NodeIntent.RETIRED
    return "the node had been retired" if retired else None


def node_name() -> str:
    """This machine's name as a node name."""
    name = re.sub(r"[^a-z0-9._-]+", "-", socket.gethostname().lower()).strip("._-")[:63]
    return name.rstrip("._-") or "local"


def _heard(node: Mapping[str, Any], agent: Daemon) -> bool:
    """Whether the server has heard of this process, and not only of one before it."""
    last = node.get("last_heartbeat_at")
    if not last:
        return False
    return datetime.fromisoformat(last) >= datetime.fromisoformat(agent.started_at)


def _start(home: Home, name: str, command: list[str], url: str) -> Daemon:
    log = home.log(name)
    log_start = log.stat().st_size if log.exists() else 0
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    process = processes.start(command, log, child_environment({}), detached=True)
    return Daemon(process.pid, process.began, url, started_at, command, log_start)


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _require(part: str, library: str, extra: str) -> None:
    if not importlib.util.find_spec(part) or not importlib.util.find_spec(library):
        raise CliError(
            "part_missing",
            f"this installation has no {extra} part",
            hint=f"install it: pip install 'penstock[{extra}]'",
            exit_code=ExitCode.FAILED,
        )


def _choose_port(home: Home, wish: Wish) -> int:
    """The port asked for, or where the server was last, or the usual one, or the next free."""
    if wish.port is not None:
        if wish.port and not _is_free(wish.host, wish.port):
            raise CliError(
                "port_taken",
                f"something else listens on port {wish.port} already",
                hint="choose another with --port, or leave it out to take the next free one",
                exit_code=ExitCode.FAILED,
            )
        return wish.port or _any_port(wish.host)
    last = re.search(r":(\d+)$", home.last_url() or "")
    first = int(last[1]) if last else DEFAULT_PORT
    ports: list[int] = [first, *range(DEFAULT_PORT, DEFAULT_PORT + _NUM_PORTS)]
    for port in ports:
        if _is_free(wish.host, port):
            return port
    raise CliError("no_free_port", f"no port from {DEFAULT_PORT} on is free")


def _is_free(host: str, port: int) -> bool:
    with _socket(host) as one:
        try:
            one.bind((host, port))
        except OSError as error:
            if isinstance(error, socket.gaierror):
                raise CliError("bad_host", f"cannot listen on {host}: {error}") from error
            return False
        return True


def _any_port(host: str) -> int:
    with _socket(host) as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])


def _socket(host: str) -> socket.socket:
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
    return one


def _reachable(host: str) -> str:
    """Where this machine reaches a server that listens there."""
    return bracketed({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host))


def _node(api: DocumentClient, name: str) -> dict[str, Any] | None:
    try:
        return api.nodes.get(name)
    except (ConnectionFailed, ApiError):
        return None


def _check(found: bool, daemon: Daemon, log: Path, what: str, timeout_s: float) -> None:
    alive = daemon.process.is_alive()
    if found and alive:
        return
    problem = f"is not ready after {timeout_s:.0f} s" if alive else "ended while starting"
    raise CliError(
        "start_failed",
        f"{what} {problem}",
        hint=explain_log(_text(log, daemon.log_start), log),
        exit_code=ExitCode.FAILED,
    )


def explain_log(text: str, log: Path) -> str:
    """What a log says about a start that failed: of a traceback only its error, else the end."""
    full = _full_disk(text, log)
    if full is not None:
        return full
    lowered = text[text.rfind(_TRACEBACK) :].lower() if _TRACEBACK in text else ""
    if any(word in lowered for word in _DAMAGED):
        return (
            f"the database {log.parent.parent / 'penstock.db'} is damaged: put a backup in its "
            f"place, or move it away for a new start; see {log}"
        )
    lines = text.splitlines()[-TAIL_LINES:]
    if lowered:
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit)\b", line)]
        lines = errors[-1:]
    shown = "\n".join(f"    {line[:300]}" for line in lines)
    return f"see {log}" + (f"; its last lines:\n{shown}" if shown else "")


def _full_disk(text: str, log: Path) -> str | None:
    """The log may say it, and may be empty for the same reason: then the disk says it itself."""
    home = log.parent.parent
    found = [(folder, why) for folder in (log.parent, home) if (why := obstacle(folder))]
    line = next((line.strip() for line in text.splitlines() if _FULL.search(line)), None)
    if found:
        return f"the disk of {found[0][0]} {found[0][1]}: make room there, and start it again"
    return f"a disk is full: {line[:300]}; make room there, and start it again" if line else None


def _text(log: Path, start: int) -> str:
    try:
        return log.read_bytes()[start:][-_MOST_LOG:].decode("utf-8", "replace")
    except OSError:
        return ""
