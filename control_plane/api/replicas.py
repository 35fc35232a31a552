"""Routes of replicas over all jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from control_plane.api.deps import Cursor, DepsParam, Limit, Ref, Viewer, Word
from control_plane.api.replies import reply
from control_plane.api.route import Route
from control_plane.services.jobs.read import get_replica, list_replicas
from penstock.api.base import Page
from penstock.api.ids import ReplicaId
from penstock.api.jobs import Replica
from penstock.api.states import ReplicaState

router = APIRouter(prefix="/api/v1", route_class=Route, tags=["replicas"])


@router.get("/replicas", operation_id="list_replicas", response_model=Page[Replica])
def list_(
    caller: Viewer,
    deps: DepsParam,
    job: Word = None,
    node: Word = None,
    state: Annotated[ReplicaState | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Replicas, the newest first."""
    found = list_replicas(deps, caller, limit, cursor, job=job, node=node, state=state)
    return reply(found)


@router.get("/replicas/{ref}", operation_id="get_replica", response_model=Replica)
def get(ref: Ref, caller: Viewer, deps: DepsParam) -> Response:
    """A replica by its id."""
    return reply(get_replica(deps, caller, ReplicaId(ref)))
