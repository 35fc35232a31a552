"""Routes of tokens and projects."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from control_plane.api.deps import Admin, Cursor, DepsParam, GateParam, Limit, Ref, Viewer
from control_plane.api.replies import reply, secret_reply
from control_plane.api.route import Route
from control_plane.services.accounts.projects import create_project, list_projects
from control_plane.services.accounts.tokens import create_token, list_tokens, revoke_token
from penstock.api.base import Page
from penstock.api.tokens import NewToken, Project, ProjectRequest, Token, TokenRequest

router = APIRouter(prefix="/api/v1", route_class=Route, tags=["accounts"])


@router.get("/tokens", operation_id="list_tokens", response_model=Page[Token])
def tokens(caller: Admin, deps: DepsParam, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Tokens without their secrets, in the order they were made."""
    return reply(list_tokens(deps, caller, limit, cursor))


@router.post("/tokens", operation_id="create_token", status_code=201, response_model=NewToken)
def new_token(body: TokenRequest, caller: Admin, deps: DepsParam) -> Response:
    """A new token; its secret is in this answer and nowhere else."""
    return secret_reply(create_token(deps, caller, body), 201)


@router.delete("/tokens/{ref}", operation_id="revoke_token", status_code=204)
def revoke(ref: Ref, caller: Viewer, deps: DepsParam, gate: GateParam) -> Response:
    """The token opens nothing from now on. Administrators revoke any, all others their own."""
    gate.forget(revoke_token(deps, caller, ref))
    return Response(status_code=204)


@router.get("/projects", operation_id="list_projects", response_model=Page[Project])
def projects(
    caller: Viewer, deps: DepsParam, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """The projects that the caller belongs to."""
    return reply(list_projects(deps, caller, limit, cursor))


@router.post("/projects", operation_id="create_project", status_code=201, response_model=Project)
def new_project(body: ProjectRequest, caller: Admin, deps: DepsParam) -> Response:
    """A new tenant."""
    return reply(create_project(deps, caller, body), 201)
