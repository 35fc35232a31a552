"""Many agents at one server. One JSON object a line.

    python -m tests.bench.agents --agents 1000 --seconds 60 --submits 20

A real server with its usual settings, over a SQLite file, and in this process agents that speak
their whole protocol: each enrols, begins, polls for its assignments (as long as an agent waits) on
one connection, and beats every 5 s, with a sample of its chip, on another. No process is started
for them: jobs that are submitted beside them ask for a chip that no node has, and wait. `beat` is
from sending a heartbeat to its whole answer; `cores` is what the server took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any, Final

from agents.replicas.assignments import WAIT_S
from penstock.api.assignments import (
    INCARNATION_HEADER,
    BeginRequest,
    EnrolRequest,
    HeartbeatRequest,
    Inventory,
)
from penstock.api.chips import ChipReport, ChipSample
from penstock.api.states import ChipHealth
from penstock.backoff import Backoff
from tests.bench.http_load import Connection, request
from tests.bench.machine import watched
from tests.e2e.rig import Cloud

BEAT_S: Final = 5.0
JOINING: Final = 16
SETTLING_S: Final = 120.0
"""All agents begin at once, which no cloud sees: so long they have until their nodes are ready."""
CHIP: Final = "emulated-a100"
BASE: Final = "/api/v1/agent"
JOB: Final = {
    "type": "task", "task": {"command": ["true"]},
    "resources": {"chip": ["emulated-910b"], "chips": 1},
}  # fmt: skip


@dataclass(slots=True)
class Agent:
    """One node. Its bytes are made once; only what it is told is read."""

    name: str
    beat: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    generation: int = 0


@dataclass(slots=True)
class Run:
    """What all agents saw, in seconds."""

    port: int
    token: str
    beats_s: list[float] = field(default_factory=list)
    submits_s: list[float] = field(default_factory=list)
    num_polls: int = 0
    faults: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--submits", type=float, default=0.0, help="jobs submitted a second")
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        cloud = Cloud(Path(folder) / "home", {})
        cloud.start_server()
        try:
            asyncio.run(_measure(cloud, given))
        finally:
            cloud.close()
    return 0


async def _measure(cloud: Cloud, given: argparse.Namespace) -> None:
    run = Run(cloud.port, cloud.token)
    agents = [Agent(f"n{number:05}") for number in range(given.agents)]
    joined = time.monotonic()
    await _join(run, agents)
    joined = time.monotonic() - joined
    rng = Random(0)
    async with asyncio.TaskGroup() as group:
        stop = asyncio.Event()
        for agent in agents:
            group.create_task(_beating(run, agent, stop, rng.random() * BEAT_S))
            group.create_task(_polling(run, agent, stop, rng.random() * BEAT_S))
        began = time.monotonic()
        for _ in range(int(SETTLING_S / BEAT_S)):
            await asyncio.sleep(BEAT_S)
            if not await _not_ready(run):
                break
        settled = time.monotonic() - began
        run.faults.clear()
        run.beats_s.clear()
        run.num_polls = 0
        with watched(cloud.server.child.pid) as seen:
            if given.submits:
                await _submitting(run, given.submits, given.seconds)
            else:
                await asyncio.sleep(given.seconds)
        beats, polls = list(run.beats_s), run.num_polls
        suspect = await _not_ready(run)
        stop.set()
    line = {
        "bench": "agents", "agents": given.agents, "seconds": round(seen.seconds, 1),
        "joined_s": round(joined, 1), "settled_s": round(settled, 1),
        "beats_per_s": round(len(beats) / seen.seconds, 1),
        "polls_per_s": round(polls / seen.seconds, 1), **_times("beat", beats),
        "submits_per_s": round(len(run.submits_s) / seen.seconds, 1),
        **_times("submit", run.submits_s), "not_ready": suspect, "faults": len(run.faults),
        "cores": round(seen.server_s / seen.seconds, 2), "others": round(seen.others, 2),
        "calm": seen.is_calm,
    }  # fmt: skip
    print(json.dumps(line), flush=True)
    for fault in run.faults[:3]:
        print(json.dumps({"bench": "agents", "fault": fault}), flush=True)


async def _not_ready(run: Run) -> int:
    """Nodes that the server does not count as ready."""
    headers, path, found = {"authorization": f"Bearer {run.token}"}, "/api/v1/nodes?limit=500", 0
    async with Connection(run.port) as http:
        cursor = ""
        while True:
            page = json.loads(await http.ask(request("GET", path + cursor, headers), 200))
            found += sum(it["health"]["state"] != "ready" for it in page["items"])
            if page["next"] is None:
                return int(found)
            cursor = f"&cursor={page['next']}"


def _times(what: str, took_s: list[float]) -> dict[str, float]:
    if len(took_s) < 2:
        return {}
    cuts = quantiles(took_s, n=100, method="inclusive")
    return {
        f"{what}_p50_ms": round(cuts[49] * 1000, 1),
        f"{what}_p99_ms": round(cuts[98] * 1000, 1),
    }


async def _join(run: Run, agents: list[Agent]) -> None:
    waiting = iter(agents)

    async def some() -> None:
        async with Connection(run.port) as http:
            for agent in waiting:
                await _enrol(run, http, agent)

    async with asyncio.TaskGroup() as group:
        for _ in range(JOINING):
            group.create_task(some())


async def _enrol(run: Run, http: Connection, agent: Agent) -> None:
    token = await _ask(http, "/api/v1/join-tokens", run.token, b"{}", 201)
    well = ChipHealth.HEALTHY
    chip = ChipReport(
        key="chip-0", vendor="emulated", type=CHIP, index=0, emulated=True, health=well
    )
    inventory = Inventory(cores_milli=8000, memory_bytes=32 << 30, chips=(chip,))
    enrolment = EnrolRequest(name=agent.name, inventory=inventory)
    made = await _ask(http, f"{BASE}/enrol", token["token"], _document(enrolment))
    incarnation = uuid.uuid4().hex
    begin = BeginRequest(incarnation=incarnation)
    await _ask(http, f"{BASE}/incarnations", made["credential"], _document(begin))
    agent.headers = {
        "authorization": f"Bearer {made['credential']}", INCARNATION_HEADER: incarnation,
        "content-type": "application/json",
    }  # fmt: skip
    sample = ChipSample(key="chip-0", utilization_ratio=0.5, health=well)
    beat = HeartbeatRequest(instance=uuid.uuid4().hex, generation=1, samples=(sample,))
    agent.beat = request("POST", f"{BASE}/heartbeat", agent.headers, _document(beat))


def _document(model: Any) -> bytes:
    return str(model.model_dump_json(exclude_none=True)).encode()


async def _ask(
    http: Connection, path: str, secret: str, body: bytes, status: int = 200
) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    found: dict[str, Any] = json.loads(await http.ask(request("POST", path, headers, body), status))
    return found


async def _beating(run: Run, agent: Agent, stop: asyncio.Event, first_s: float) -> None:
    next_ = time.monotonic() + first_s
    async with Connection(run.port) as http:
        while not stop.is_set():
            await asyncio.sleep(max(0.0, next_ - time.monotonic()))
            began = time.monotonic()
            next_ = began + BEAT_S
            try:
                await http.ask(agent.beat, 200)
            except (OSError, RuntimeError, asyncio.IncompleteReadError) as error:
                run.faults.append(f"{agent.name}: {error}")
            else:
                run.beats_s.append(time.monotonic() - began)


async def _polling(run: Run, agent: Agent, stop: asyncio.Event, first_s: float) -> None:
    await asyncio.sleep(first_s)
    backoff = Backoff(Random(agent.name), most_s=BEAT_S)
    async with Connection(run.port) as http:
        while not stop.is_set():
            path = f"{BASE}/assignments?generation={agent.generation}&wait_s={WAIT_S:g}"
            try:
                told = await http.ask(request("GET", path, agent.headers), 200)
            except (OSError, RuntimeError, asyncio.IncompleteReadError) as error:
                run.faults.append(f"{agent.name}: {error}")
                await asyncio.sleep(backoff.next_s())
            else:
                backoff.reset()
                agent.generation = json.loads(told)["generation"]
                run.num_polls += 1


async def _submitting(run: Run, per_s: float, seconds: float) -> None:
    numbers, headers = count(), {"authorization": f"Bearer {run.token}"}
    headers["content-type"] = "application/json"
    end = time.monotonic() + seconds
    async with Connection(run.port) as http:
        while (began := time.monotonic()) < end:
            body = json.dumps({**JOB, "name": f"job-{next(numbers)}"}).encode()
            await http.ask(request("POST", "/api/v1/jobs", headers, body), 201)
            run.submits_s.append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, began + 1 / per_s - time.monotonic()))


if __name__ == "__main__":
    raise SystemExit(main())
