"""Which replicas answer for which model now: those ready, wanted, on nodes that are heard of."""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.services.deps import Deps
from control_plane.services.nodes.chip_types import ANY, chip_types
from control_plane.store.models import Endpoint, Replica
from penstock.api.ids import EndpointId, ProjectId, ReplicaId
from penstock.api.states import NodeHealth, ReplicaState
from penstock.api.vendors import vendor_table


@dataclass(frozen=True, slots=True)
class Route:
    """One replica of one endpoint. `weight` is its measured speed in tokens/s, or None."""

    project_id: ProjectId
    endpoint_id: EndpointId
    model: str
    replica_id: ReplicaId
    address: str
    chip_type: str
    weight: float | None


@dataclass(frozen=True, slots=True)
class OpenModel:
    """An open endpoint with its routes; without routes it is known but not ready."""

    project_id: ProjectId
    endpoint_id: EndpointId
    model: str
    created_at_s: int
    routes: tuple[Route, ...]
    project: str = ""
    is_our_engine: bool = True
    """Not a server that the job brought along."""


def read_routes(deps: Deps) -> tuple[OpenModel, ...]:
    """All open endpoints of all projects."""
    with deps.store.read() as tx:
        endpoints = tx.endpoints.open()
        jobs = tx.jobs.many({endpoint.job_id for endpoint in endpoints})
        replicas = tx.replicas.live_of(jobs)
        heard = set(tx.nodes.of_health(NodeHealth.READY))
    ready = [replica for replica in replicas if _answers(replica) and replica.node_id in heard]
    return tuple(
        OpenModel(
            endpoint.project_id,
            endpoint.id,
            endpoint.name,
            int(endpoint.created_at.timestamp()),
            tuple(_route(endpoint, row) for row in ready if row.job_id == endpoint.job_id),
            endpoint.project,
            jobs[endpoint.job_id].spec["serve"].get("command") is None,
        )
        for endpoint in endpoints
    )


def known_types(deps: Deps) -> list[str]:
    """The chip types that there are, were, or could be."""
    with deps.store.read() as tx:
        return chip_types(tx)


def wish_against(deps: Deps, endpoint_id: EndpointId, chip_type: str) -> tuple[str, ...] | None:
    """The chips that the endpoint's job asks for, if none of that type can ever be among them. A
    type that no node has shown yet may be of any vendor.
    """
    with deps.store.read() as tx:
        row = tx.endpoints.get(endpoint_id)
        job = tx.jobs.get(row.job_id) if row is not None else None
        if job is None:
            return None
        shown = tx.chips.vendors_of(chip_type)
    wish: tuple[str, ...] = tuple(job.spec["resources"]["chip"])
    table = vendor_table()
    vendors = {*shown, *(key for key, vendor in table.items() if chip_type in vendor.types)}
    wished = table.keys() & set(wish)
    by_vendor = bool(vendors & wished if vendors else wished)
    return None if ANY in wish or chip_type in wish or by_vendor else wish


def _answers(replica: Replica) -> bool:
    return (
        replica.ready
        and replica.state == ReplicaState.RUNNING
        and replica.desired == "run"
        and replica.address is not None
    )


def _route(endpoint: Endpoint, replica: Replica) -> Route:
    speed = replica.speed or {}
    return Route(
        project_id=endpoint.project_id,
        endpoint_id=endpoint.id,
        model=endpoint.name,
        replica_id=replica.id,
        address=replica.address or "",
        chip_type=replica.chips[0]["type"] if replica.chips else "none",
        weight=speed.get("value") or None,
    )
