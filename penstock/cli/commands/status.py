"""`penstock status`: what runs, where, and how much of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from penstock.api.states import JobState, NodeIntent
from penstock.cli.config import Context
from penstock.cli.failures import ExitCode
from penstock.cli.following.watch import Watch
from penstock.cli.options import Format, output_option, quiet_option, watch_option
from penstock.cli.output.show import Shown, data_text, show_text, steady
from penstock.cli.output.tables import details
from penstock.cli.session import Session, open_api, open_probe
from penstock.client.errors import ApiError, ConnectionFailed
from penstock.words import size

if TYPE_CHECKING:
    from penstock.client.synchronous import DocumentClient


@click.command()
@output_option
@watch_option("job", "node", patient=True)
@quiet_option
@click.pass_obj
def status(session: Session, output: Format, watch: Watch | None, quiet: bool) -> int:
    """Show processes, address, nodes, chips and jobs by state.

    Exits 5 if no server answers.
    """
    found: dict[str, Any] = {}

    def shown(seen: Mapping[str, Any]) -> Shown:
        found.clear()
        found.update(seen, **_processes(session))
        return Shown("" if quiet else text(), steady(found))

    def text() -> str:
        if output in (Format.JSON, Format.YAML):
            return data_text(session.console, found, output, compact=watch is not None)
        return str(found["address"]) if output == Format.NAME else details(_in_words(found))

    show_text(session.console, lambda: _status(session), shown, watch)
    return ExitCode.DONE if found["reachable"] else ExitCode.UNREACHABLE


def _status(session: Session) -> Mapping[str, Any]:
    from penstock.cli.local.belonging import cloud_of_node, cloud_to_look_at

    context, cloud = cloud_to_look_at(session), cloud_of_node(session)
    shown: dict[str, Any] = {"address": context.server}
    if cloud is not None:
        shown["node_of"] = cloud
    local = _processes(session)
    try:
        health = {"health": _health(context)}
        with open_api(context) as api:
            seen = _seen(api, context, cloud)
            return {**shown, "reachable": True, **health, **local, **seen}
    except ConnectionFailed as error:
        return {**shown, "reachable": False, "reason": error.reason, **local}


def _seen(api: DocumentClient, context: Context, cloud: str | None) -> dict[str, Any]:
    """The pool; a node without a login sees only that its cloud is there."""
    if context.token is None and context.server == cloud:
        api.alive()
        return {"to_see_more": f"penstock login {cloud}"}
    return _pool(api)


def _health(context: Context) -> str:
    """`ready`, or what is not well; asked once, since not being ready is an answer."""
    from penstock.cli.local.belonging import unwell_parts

    with open_probe(context) as api:
        try:
            unwell = unwell_parts(api)
        except ApiError as error:
            return str(error)
    parts = "; ".join(f"{part} {what}" for part, what in unwell.items())
    return f"degraded: {parts}" if parts else "ready"


def _processes(session: Session) -> dict[str, Any]:
    from penstock.cli.local.home import Home

    home = Home(session.settings.home)
    found: dict[str, Any] = {}
    for name, daemon in (("server", home.server()), ("agent", home.agent())):
        if daemon is None:
            found[name] = {"running_here": False}
        else:
            found[name] = {
                "running_here": True, "pid": daemon.pid,
                "memory_bytes": daemon.process.resident_bytes(), "since": daemon.started_at,
            }  # fmt: skip
    full = {str(folder): f"the disk {what}" for folder, what in home.full_disks()}
    return {**found, "full_disks": full} if full else found


def _pool(api: DocumentClient) -> dict[str, Any]:
    """The change feed begins with what is counted."""
    counts = next(api.changes())["counts"]
    nodes: Counter[str] = Counter()
    for health, intents in counts["nodes"].items():
        for intent, number in intents.items():
            if intent != NodeIntent.RETIRED:
                nodes[_node_word(health, intent)] += number
    jobs: Counter[str] = Counter()
    for states in counts["jobs"].values():
        jobs.update(states)
    chips = {}
    for one in api.chips.types():
        chips[one["type"]] = {
            "free": one["free_milli"] / 1000, "total": one["total"], "emulated": one["emulated"],
        }  # fmt: skip
    known = {state.value: jobs[state] for state in JobState if jobs[state]}
    return {"nodes": dict(nodes), "chips": chips, "jobs": known}


def _in_words(found: Mapping[str, Any]) -> dict[str, Any]:
    """The same for people."""
    shown = dict(found)
    for name in ("server", "agent"):
        shown[name] = _process_words(found[name])
    if "chips" in found:
        shown["chips"] = {name: _chip_words(one) for name, one in found["chips"].items()}
    return shown


def _process_words(one: Mapping[str, Any]) -> str:
    if not one["running_here"]:
        return "not running here"
    return f"pid {one['pid']}, {size(one['memory_bytes'])}, since {one['since']}"


def _chip_words(one: Mapping[str, Any]) -> str:
    emulated = ", emulated" if one["emulated"] else ""
    return f"{one['free']:g} of {one['total']} free{emulated}"


def _node_word(health: str, intent: str) -> str:
    return health if intent == NodeIntent.SCHEDULABLE else f"{health}, {intent}"
