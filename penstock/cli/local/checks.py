"""What the client can say about itself: its home, its login, its server."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterator
from typing import Any, Final, Literal

from penstock import __version__
from penstock.cli.config import CONTEXTS_FILE, Context
from penstock.cli.failures import CliError
from penstock.cli.local.belonging import cloud_of_node, cloud_to_look_at, unwell_parts
from penstock.cli.local.home import Home
from penstock.cli.session import Session, open_probe
from penstock.client.errors import ApiError, ConnectionFailed
from penstock.client.synchronous import DocumentClient

Level = Literal["ok", "info", "warning", "error"]
Finding = dict[str, Any]
_ADVICE: Final = {
    "storage": "logs and checkpoints wait for it: see whether it is mounted, has room and may be "
    "written by the server"
}


def finding(level: Level, where: str, what: str, advice: str = "") -> Finding:
    """One thing found, in the shape of the agent's findings."""
    return {"level": level, "what": what, "where": where, "advice": advice}


def check_client(session: Session) -> Iterator[Finding]:
    """Everything worth saying without looking at the node."""
    home, cloud = Home(session.settings.home), cloud_of_node(session)
    yield from _home(home)
    yield from _extras()
    yield from _daemons(home, cloud)
    try:
        context = cloud_to_look_at(session)
        api = open_probe(context)
    except CliError as error:
        yield finding("error", "login", str(error), str(error.document["hint"] or ""))
        return
    with api:
        yield from _server(api, context, cloud)


def _home(home: Home) -> Iterator[Finding]:
    path = home.path
    nearest = next((it for it in (path, *path.parents) if it.exists()), path)
    if not os.access(nearest, os.W_OK | os.X_OK) or not nearest.is_dir():
        advice = "choose another with --home or PENSTOCK_HOME, or change its owner"
        yield finding("error", "home", f"{path} cannot be written", advice)
        return
    yield finding("ok", "home", f"{path} can be written")
    for folder, what in home.full_disks():
        yield finding("error", "home", f"the disk of {folder} {what}", "make room there")
    for file in (home.admin_token_file, path / CONTEXTS_FILE, path / "penstock.db"):
        if file.exists() and file.stat().st_mode & 0o077:
            yield finding("warning", "home", f"{file} is readable by others", f"chmod 600 {file}")


def _extras() -> Iterator[Finding]:
    for library, extra, purpose in (
        ("uvicorn", "server", "run the server here"),
        ("psutil", "agent", "run an agent here"),
        ("torch", "workload", "train and serve with Penstock's engine here"),
    ):
        if importlib.util.find_spec(library) is None:
            advice = f"to {purpose}: pip install 'penstock[{extra}]'"
            yield finding("info", "installation", f"the {extra} part is not installed", advice)


def _daemons(home: Home, cloud: str | None) -> Iterator[Finding]:
    if cloud is not None:
        yield finding("ok", "agent", f"this machine is a node of the cloud at {cloud}")
    for name, daemon, file in home.daemons():
        if daemon is not None:
            yield finding("ok", name, f"runs here as process {daemon.pid}")
        elif file.exists():
            what = f"was started here and has ended; its log: {home.log(name)}"
            yield finding("error", name, what, _again(name, cloud))


def _again(name: str, cloud: str | None) -> str:
    if name == "agent" and cloud is not None:
        return f"join {cloud} again, with a token that `penstock node join` makes there"
    return "start it again: penstock up"


def _server(api: DocumentClient, context: Context, cloud: str | None) -> Iterator[Finding]:
    started = time.monotonic()
    try:
        alive = api.alive()
    except ConnectionFailed as error:
        elsewhere = f"this node needs the server at {cloud}: see whether it runs, and the network"
        advice = "start one here: penstock up" if cloud is None else elsewhere
        yield finding("warning", "server", str(error), advice)
        return
    except ApiError as error:
        yield finding("error", "server", str(error), "check the address: penstock context list")
        return
    took_ms = (time.monotonic() - started) * 1000
    yield finding("ok", "server", f"{context.server} answers in {took_ms:.0f} ms")
    yield from _version(alive.get("version"))
    yield from _ready(api)
    if cloud == context.server and context.token is None:
        what = "none here; the node itself needs none"
        yield finding("info", "login", what, f"to run commands: penstock login {cloud}")
    else:
        yield from _login(api, context)


def _version(server: str | None) -> Iterator[Finding]:
    if server and server.split(".")[:2] != __version__.split(".")[:2]:
        what = f"the server is {server}, this client {__version__}"
        yield finding("warning", "version", what, "install the same release on both sides")
    elif server:
        yield finding("ok", "version", f"client {__version__}, server {server}")


def _ready(api: DocumentClient) -> Iterator[Finding]:
    try:
        unwell = unwell_parts(api)
    except (ApiError, ConnectionFailed) as error:
        yield finding("error", "server", f"it is not ready: {error}", "see the server's log")
    else:
        yield finding("ok", "server", "it is ready")
        for part, what in unwell.items():
            yield finding("error", f"server's {part}", what, _ADVICE.get(part, ""))


def _login(api: DocumentClient, context: Context) -> Iterator[Finding]:
    advice = "log in again: penstock login URL --token TOKEN"
    try:
        identity = api.whoami()
    except ApiError as error:
        what = str(error) if context.token else "no token is saved for this server"
        yield finding("error", "login", what, advice)
    except ConnectionFailed as error:
        yield finding("error", "login", str(error), advice)
    else:
        yield finding("ok", "login", f"{identity['name']}, {identity['role']}")
