"""`penstock status`: what runs, where, and how much of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import typer

from penstock.api.states import JobState
from penstock.cli.config import resolve
from penstock.cli.failures import ExitCode
from penstock.cli.options import Format, OutputOption, QuietOption, WatchOption
from penstock.cli.output import data_text, show_text
from penstock.cli.session import Session, session_of
from penstock.cli.tables import details
from penstock.cli.units import size
from penstock.client import routes
from penstock.client.errors import ConnectionFailed

if TYPE_CHECKING:
    from penstock.client.http import Http

PAGE: Final = 500


def register(group: typer.Typer) -> None:
    group.command()(status)


def status(
    ctx: typer.Context,
    output: OutputOption = Format.TABLE,
    watch: WatchOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show processes, address, nodes, chips and jobs by state.

    Exits 5 if no server answers.
    """
    session = session_of(ctx)
    found: dict[str, Any] = {}

    def text() -> str:
        found.clear()
        found.update(_status(session))
        if quiet:
            return ""
        if output in (Format.JSON, Format.YAML):
            return data_text(session.console, found, output, compact=watch)
        return str(found["address"]) if output == Format.NAME else details(found)

    show_text(session.console, text, watch)
    raise typer.Exit(ExitCode.DONE if found["reachable"] else ExitCode.UNREACHABLE)


def _status(session: Session) -> Mapping[str, Any]:
    address = resolve(session.settings).server
    local = _processes(session)
    try:
        return {"address": address, "reachable": True, **local, **_pool(session.http())}
    except ConnectionFailed as error:
        return {"address": address, "reachable": False, "reason": error.reason, **local}


def _processes(session: Session) -> dict[str, Any]:
    from penstock.cli.local.home import Home

    home = Home(session.settings.home)
    found = {}
    for name, daemon in (("server", home.server()), ("agent", home.agent())):
        if daemon is None:
            found[name] = "not running here"
        else:
            memory = size(daemon.process.resident_bytes())
            found[name] = f"pid {daemon.pid}, {memory}, since {daemon.started_at}"
    return found


def _pool(http: Http) -> dict[str, Any]:
    nodes = Counter(_node_word(it) for it in http.items(routes.read("nodes")))
    chips = {}
    for one in http.items(routes.read("chip-types")):
        free = f"{one['free_milli'] / 1000:g} of {one['total']} free"
        chips[one["type"]] = free + (", emulated" if one["emulated"] else "")
    counted = {state.value: _count(http, state) for state in JobState}
    jobs = {name: count for name, count in counted.items() if count != "0"}
    return {"nodes": dict(nodes), "chips": chips, "jobs": jobs}


def _node_word(node: Mapping[str, Any]) -> str:
    intent, health = node["intent"]["state"], node["health"]["state"]
    return str(health if intent == "schedulable" else f"{health}, {intent}")


def _count(http: Http, state: JobState) -> str:
    """How many jobs are in a state; of more than a page only that there are more."""
    page = http.document(routes.read("jobs", params={"state": state.value, "limit": PAGE}))
    return f"{len(page['items'])}{'+' if page.get('next') else ''}"
