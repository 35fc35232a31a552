"""Routes of nodes, and of the tokens with which nodes join."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.deps import (
    Admin,
    Cursor,
    DepsParam,
    IfMatch,
    Limit,
    ListensAt,
    Ref,
    Retired,
    Viewer,
    version_of,
)
from control_plane.api.replies import reply, secret_reply
from control_plane.api.route import Route
from control_plane.services.accounts.projects import create_join_token
from control_plane.services.deps import Caller, Deps
from control_plane.services.nodes.intent import set_intent
from control_plane.services.nodes.read import get_node, list_nodes
from penstock.api.base import Page
from penstock.api.nodes import JoinToken, Node
from penstock.api.states import NodeIntent
from penstock.api.tokens import JoinTokenRequest

router = APIRouter(prefix="/api/v1", route_class=Route, tags=["nodes"])


@router.get("/nodes", operation_id="list_nodes", response_model=Page[Node])
def list_(
    _caller: Viewer,
    deps: DepsParam,
    retired: Retired = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Nodes in order of their names, without those that were taken out of the pool for good."""
    return reply(list_nodes(deps, limit, cursor, retired=retired))


@router.get("/nodes/{ref}", operation_id="get_node", response_model=Node)
def get(ref: Ref, _caller: Viewer, deps: DepsParam) -> Response:
    """A node by id or name."""
    return _shown(deps, ref)


@router.post("/nodes/{ref}/cordon", operation_id="cordon_node", response_model=Node)
def cordon(ref: Ref, caller: Admin, deps: DepsParam, if_match: IfMatch = None) -> Response:
    """No new placements; what runs goes on."""
    return _moved(deps, caller, ref, NodeIntent.CORDONED, if_match)


@router.post("/nodes/{ref}/uncordon", operation_id="uncordon_node", response_model=Node)
def uncordon(ref: Ref, caller: Admin, deps: DepsParam, if_match: IfMatch = None) -> Response:
    """Placements again."""
    return _moved(deps, caller, ref, NodeIntent.SCHEDULABLE, if_match)


@router.post("/nodes/{ref}/drain", operation_id="drain_node", response_model=Node)
def drain(ref: Ref, caller: Admin, deps: DepsParam, if_match: IfMatch = None) -> Response:
    """No new placements, and what runs is moved away."""
    return _moved(deps, caller, ref, NodeIntent.DRAINING, if_match)


@router.post("/nodes/{ref}/retire", operation_id="retire_node", response_model=Node)
def retire(ref: Ref, caller: Admin, deps: DepsParam, if_match: IfMatch = None) -> Response:
    """Takes an empty node out for good."""
    return _moved(deps, caller, ref, NodeIntent.RETIRED, if_match)


@router.post(
    "/join-tokens", operation_id="create_join_token", status_code=201, response_model=JoinToken
)
def join_token(
    body: JoinTokenRequest, caller: Admin, deps: DepsParam, request: Request, at: ListensAt
) -> Response:
    """A single-use token with which one agent enrols, shown this once, and the command to run on
    the new node. `note` says so where other machines cannot reach the server as it is.
    """
    server = at.address(request, body.server)
    return secret_reply(create_join_token(deps, caller, body, server), 201)


def _moved(
    deps: Deps, caller: Caller, ref: str, intent: NodeIntent, if_match: str | None
) -> Response:
    return _shown(deps, set_intent(deps, caller, ref, intent, version_of(if_match)))


def _shown(deps: Deps, ref: str) -> Response:
    node = get_node(deps, ref)
    return reply(node, version=node.etag)
