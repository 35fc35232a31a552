"""Takes a local cloud down: its jobs, its agent, its server, and whatever is left of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any, Final

from penstock.cli.config import Context
from penstock.cli.local import processes
from penstock.cli.local.home import Home
from penstock.cli.session import open_http
from penstock.client import routes
from penstock.client.errors import ApiError, ClientError
from penstock.client.http import Http

JOBS_GRACE_S: Final = 30.0
PROCESS_GRACE_S: Final = 15.0
_PLACED: Final = ("starting", "running", "stopping")


def stop_jobs(context: Context) -> list[str]:
    """Cancels the jobs that hold chips or run, and waits until they have ended. Their names.

    Jobs that wait stay in the queue for the next start. A server that does not answer is passed
    over: what runs is then stopped by `stop_replicas`.
    """
    try:
        with open_http(context) as http:
            jobs = list(_placed(http))
            for job in jobs:
                _cancel(http, job["id"])
            ids = {job["id"] for job in jobs}
            processes.wait(lambda: ids.isdisjoint(it["id"] for it in _placed(http)), JOBS_GRACE_S)
            return [job["name"] for job in jobs]
    except ClientError:
        return []


def stop_daemons(home: Home) -> list[str]:
    """Ends the server first, so that it places nothing more, then the agent. Says what it did."""
    told = []
    for name, daemon, file in (
        ("server", home.server(), home.server_file),
        ("agent", home.agent(), home.agent_file),
    ):
        if daemon is not None:
            by_itself = processes.stop(daemon.process, PROCESS_GRACE_S)
            told.append(f"{name} stopped" if by_itself else f"{name} did not stop: killed")
        file.unlink(missing_ok=True)
    return told


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


def _placed(http: Http) -> Iterator[dict[str, Any]]:
    for state in _PLACED:
        yield from http.items(routes.read("jobs", params={"state": state, "limit": 500}))


def _cancel(http: Http, job_id: str) -> None:
    try:
        http.send(routes.act("jobs", job_id, "cancel"))
    except ApiError as error:
        if error.status not in (404, 409):  # it ended by itself meanwhile
            raise
