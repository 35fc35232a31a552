"""Reads endpoints within what the caller may see."""

from __future__ import annotations

from control_plane.errors import ambiguous, not_found
from control_plane.services.deps import Caller, Deps
from control_plane.services.endpoints.views import endpoint_views
from control_plane.store.repositories.base import Ambiguous
from penstock.api.base import Page
from penstock.api.endpoints import Endpoint


def get_endpoint(deps: Deps, caller: Caller, ref: str) -> Endpoint:
    """By id or name. Raises NotFound, also for an endpoint of another tenant; Conflict for a name
    that stands for endpoints of several projects.
    """
    with deps.store.read() as tx:
        try:
            row = tx.endpoints.find(ref, caller.sees)
        except Ambiguous as found:
            raise ambiguous("endpoint", ref, found.choices) from found
        if row is None:
            raise not_found("endpoint", ref)
        return endpoint_views(tx, [row])[0]


def list_endpoints(
    deps: Deps, caller: Caller, limit: int, cursor: str | None, state: str | None
) -> Page[Endpoint]:
    """The newest first."""
    with deps.store.read() as tx:
        found = tx.endpoints.page(
            limit, cursor, newest_first=True, project_id=caller.sees, state=state
        )
        return Page[Endpoint](items=endpoint_views(tx, found.rows), next=found.next)
