"""A small world for tests of the API: tenants with tokens, nodes with chips, placed jobs."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from starlette.testclient import TestClient

from control_plane.services.deps import Deps
from control_plane.services.gangs.settle import settle_job
from control_plane.services.scheduling.commit_plan import place_gang
from control_plane.store.unit_of_work import Transaction
from penstock.api import ids
from penstock.api.ids import JobId, NodeId
from scheduler.model import ChipId, Seat
from scheduler.model import NodeId as SeatNodeId

GIB: Final = 2**30
TASK: Final[dict[str, Any]] = {"type": "task", "task": {"command": ["true"]}}


def headers(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def new_project(admin: TestClient, name: str) -> str:
    """The secret of a member of a new project."""
    assert admin.post("/api/v1/projects", json={"name": name}).status_code == 201
    return new_token(admin, name)


def new_token(admin: TestClient, project: str, role: str = "member", **more: Any) -> str:
    body = {"name": f"{role}-{project}", "role": role, "project": project, **more}
    made = admin.post("/api/v1/tokens", json=body)
    assert made.status_code == 201, made.text
    return str(made.json()["secret"])


def chip(key: str, type_: str = "emulated-a100", **more: Any) -> dict[str, Any]:
    return {
        "key": key, "vendor": "emulated", "type": type_, "index": int(key[-1]),
        "memory_bytes": 2 * GIB, "cores_milli": 500, "emulated": True, "health": "healthy",
        "dtypes": ["fp32"], **more,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Agent:
    """A node that enrolled, and what it may send."""

    client: TestClient
    node_id: str
    secret: str

    def post(self, path: str, body: dict[str, Any], status: int = 200) -> Any:
        answer = self.client.post(f"/api/v1/agent/{path}", json=body, headers=headers(self.secret))
        assert answer.status_code == status, answer.text
        return answer.json()

    def beat(self, **more: Any) -> Any:
        return self.post("heartbeat", {"instance": "i1", "generation": 0, **more})

    def report(self, replica_id: str, state: str, epoch: int = 1, **more: Any) -> Any:
        seen = {"replica_id": replica_id, "epoch": epoch, "state": state,
                "observed_at": "2026-01-05T12:00:00Z", **more}  # fmt: skip
        return self.post("reports", {"observations": [seen]})

    def log(self, replica_id: str, offset: int, text: str | bytes, epoch: int = 1) -> Any:
        data = base64.b64encode(text.encode() if isinstance(text, str) else text).decode()
        chunk = {"replica_id": replica_id, "epoch": epoch, "offset": offset, "data": data}
        return self.post("logs", {"chunks": [chunk]})

    def end(self, replica_id: str, code: int = 0, *, log_bytes: int | None = 0) -> Any:
        record = {
            "code": code, "reason": "completed" if code == 0 else "error",
            "ended_at": "2026-01-05T12:00:00Z", "log_bytes": log_bytes,
        }  # fmt: skip
        return self.report(replica_id, "exited", exit=record)


def join(admin: TestClient, name: str, *chips: dict[str, Any], cores_milli: int = 4000) -> Agent:
    """Enrols a node and lets it beat once."""
    token = admin.post("/api/v1/join-tokens", json={}).json()["token"]
    inventory = {"cores_milli": cores_milli, "memory_bytes": 8 * GIB, "chips": list(chips)}
    body = {"join_token": token, "name": name, "inventory": inventory}
    answer = admin.post("/api/v1/agent/enrol", json=body)
    assert answer.status_code == 200, answer.text
    agent = Agent(admin, answer.json()["node_id"], answer.json()["credential"])
    agent.beat()
    return agent


def submit(client: TestClient, **spec: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/jobs", json={**TASK, **spec})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def place(
    deps: Deps, job_id: str, agent: Agent, *chip_ids: str, ranks: int = 1, milli: int = 1000
) -> list[str]:
    """Puts the job's first gang onto the node; gives the ids of its replicas."""
    return deps.run(partial(_place, deps, job_id, agent.node_id, chip_ids, ranks, milli))


def _place(
    deps: Deps,
    job_id: str,
    node_id: str,
    chip_ids: tuple[str, ...],
    ranks: int,
    milli: int,
    tx: Transaction,
) -> list[str]:
    job = tx.jobs.get(JobId(job_id))
    assert job is not None
    gang = tx.gangs.of_job(JobId(job_id))[0]
    held = [{ChipId(it): milli for it in chip_ids[rank::ranks]} for rank in range(ranks)]
    seats = [Seat(rank, SeatNodeId(node_id), held[rank], 500, GIB // 4) for rank in range(ranks)]
    now = deps.clock.now()
    replicas = place_gang(
        tx,
        job,
        gang,
        seats,
        tx.chips.many([ids.ChipId(it) for it in chip_ids]),
        tx.nodes.many([NodeId(node_id)]),
        now,
    )
    tx.nodes.bump_generation([NodeId(node_id)])
    tx._session.flush()
    settle_job(tx, job, now)
    return [row.id for row in replicas]
