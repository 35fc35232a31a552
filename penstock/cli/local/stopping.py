"""Takes a local cloud down: its jobs, its agent, its server, and whatever is left of them."""

from __future__ import annotations

import signal
import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from penstock.api.states import NodeIntent
from penstock.cli.config import Context
from penstock.cli.local import processes
from penstock.cli.local.home import Home
from penstock.cli.session import open_api
from penstock.cli.terminal.text import clean
from penstock.client.errors import ApiError, ClientError
from penstock.client.synchronous import DocumentClient
from penstock.words import duration

JOBS_GRACE_S: Final = 30.0
PROCESS_GRACE_S: Final = 15.0
_PLACED: Final = ("starting", "running", "stopping")
_LIVE: Final = ("assigned", *_PLACED)


def take_down(home: Home, *, keep_jobs: bool = False) -> list[str]:
    """Ends everything of this home. Says what it did, and what goes on elsewhere."""
    foreign, server, notes = home.foreign_cloud(), home.server(), []
    if server is not None and not keep_jobs:
        notes += stop_jobs(home, Context(server.url, home.admin_token()))
    notes += stop_daemons(home)
    if not keep_jobs and (left := stop_replicas(home)):
        notes.append(f"replicas still running, stopped: {left}")
        if foreign is not None:
            notes.append(f"they were of the cloud at {foreign}, which starts them elsewhere")
    return notes


def stop_jobs(home: Home, context: Context) -> list[str]:
    """Cancels the jobs that run on this machine alone, and waits until they have ended. A sentence
    about them, and one about each that has a part on another node and is left alone.

    The node takes nothing new from then on, so that jobs that wait stay in the queue for the next
    start (`reopen`). A server that does not answer is passed
    over: what runs is then stopped by `stop_replicas`.
    """
    because = f"`penstock down` took down the cloud on {socket.gethostname()}"
    try:
        with open_api(context) as api:
            node = _own_node(api, home)
            here = node["name"] if node is not None else None
            if node is not None:
                _close(api, home, node)
            jobs, nodes = list(_placed(api)), _nodes_by_job(api)
            ours = [job for job in jobs if nodes[job["id"]] <= {here}]
            for job in ours:
                _cancel(api, job["id"], because)
            ids = {job["id"] for job in ours}
            processes.wait(lambda: ids.isdisjoint(it["id"] for it in _placed(api)), JOBS_GRACE_S)
            names = ", ".join(clean(job["name"]) for job in ours)
            notes = [f"stopped running jobs: {names}"] if ours else []
            return notes + [
                _left_alone(job, here, nodes[job["id"]]) for job in jobs if job["id"] not in ids
            ]
    except ClientError:
        return []


def reopen(api: DocumentClient, home: Home) -> None:
    """Lets the node of this home take work again if it was `down` that closed it."""
    node_id = home.node_id()
    if home.closed_file.exists() and node_id is not None:
        api.nodes.uncordon(node_id)
        home.closed_file.unlink()


def stop_daemons(home: Home) -> list[str]:
    """Ends the server first, so that it places nothing more, then the agent. Says what it did."""
    notes = []
    for name, daemon, file in home.daemons():
        if daemon is not None:
            by_itself = processes.stop(daemon.process, PROCESS_GRACE_S)
            notes.append(f"{name} stopped" if by_itself else f"{name} did not stop: killed")
        file.unlink(missing_ok=True)
    return notes


def stop_replicas(home: Home) -> int:
    """Ends replicas that still run under this home; returns how many supervisors there were.

    A supervisor that is told to end stops its replica first, and writes down how it ended.
    """
    left = list(processes.naming(f"{home.agent_dir}/"))
    for process in left:
        processes.signal_one(process, signal.SIGTERM)
    if not processes.wait(lambda: not any(it.is_alive() for it in left), PROCESS_GRACE_S):
        for process in left:
            processes.signal_one(process, signal.SIGKILL)
        processes.wait(lambda: not any(it.is_alive() for it in left), PROCESS_GRACE_S)
    return len(left)


def _placed(api: DocumentClient) -> Iterator[dict[str, Any]]:
    for state in _PLACED:
        yield from api.jobs.list(state=state, limit=500)


def _own_node(api: DocumentClient, home: Home) -> dict[str, Any] | None:
    """This machine's node; None where it has none in this cloud."""
    node_id = home.node_id()
    try:
        return api.nodes.get(node_id) if node_id else None
    except ApiError as error:
        if error.status != 404:
            raise
        return None


def _close(api: DocumentClient, home: Home, node: Mapping[str, Any]) -> None:
    """Cordons the node, unless somebody keeps it closed already. Noted first: a note too many is
    put right by the next `up`.
    """
    if node["intent"]["state"] == NodeIntent.SCHEDULABLE:
        home.closed_file.touch(mode=0o600)
        api.nodes.cordon(node["id"])


def _nodes_by_job(api: DocumentClient) -> dict[str, set[str]]:
    """Job id → names of the nodes on which it has live replicas."""
    found: dict[str, set[str]] = defaultdict(set)
    for state in _LIVE:
        for replica in api.replicas(state=state, limit=500):
            found[replica["job_id"]].add(replica["node"])
    return found


def _left_alone(job: Mapping[str, Any], here: str | None, nodes: set[str]) -> str:
    there, grace = ", ".join(sorted(nodes - {here})), duration(job["spec"]["disconnect_grace"])
    note = f"left {clean(job['name'])} alone, which runs on {clean(there)}"
    if here in nodes:
        return f"{note} and here: what was here ends, and the next `penstock up` starts it anew"
    return (
        f"{note}: it ends there after its disconnect_grace of {grace}, unless `penstock up` comes "
        "before"
    )


def _cancel(api: DocumentClient, job_id: str, because: str) -> None:
    try:
        api.jobs.cancel(job_id, because=because)
    except ApiError as error:
        if error.status not in (404, 409):  # it ended by itself meanwhile
            raise
