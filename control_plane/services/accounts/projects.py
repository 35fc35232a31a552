"""Projects, the tenants, and the join tokens with which nodes enter the cloud."""

from __future__ import annotations

import shlex
from datetime import timedelta

from control_plane.errors import Conflict
from control_plane.ids import hash_secret, new_id, new_secret
from control_plane.services.deps import Caller, Deps
from control_plane.store.models import JoinToken, Project
from control_plane.store.unit_of_work import Transaction
from penstock.addresses import host_of, is_loopback
from penstock.api.base import Page
from penstock.api.ids import JoinId, ProjectId
from penstock.api.messages import say
from penstock.api.nodes import JoinToken as JoinTokenView
from penstock.api.states import Role
from penstock.api.tokens import JoinTokenRequest, ProjectRequest
from penstock.api.tokens import Project as ProjectView


def create_project(deps: Deps, caller: Caller, request: ProjectRequest) -> ProjectView:
    """A new tenant. Administrators only; raises Conflict for a name that is taken."""
    caller.require(Role.ADMIN)
    now = deps.clock.now()

    def work(tx: Transaction) -> ProjectView:
        if tx.projects.find(request.name) is not None:
            raise Conflict("project_name_taken", name=request.name)
        row = Project(id=new_id(ProjectId), name=request.name, created_at=now)
        tx.projects.add(row)
        by = say("project_created", by=caller.name)
        tx.events.append("project", row.id, row.id, "project.created", by, now)
        return _view(row)

    return deps.run(work)


def list_projects(deps: Deps, caller: Caller, limit: int, cursor: str | None) -> Page[ProjectView]:
    """The projects that the caller belongs to; all for administrators."""
    with deps.store.read() as tx:
        found = tx.projects.page(limit, cursor, id=caller.sees)
        return Page[ProjectView](items=[_view(row) for row in found.rows], next=found.next)


def create_join_token(
    deps: Deps, caller: Caller, request: JoinTokenRequest, server: str
) -> JoinTokenView:
    """A single-use token for one agent, shown this once, and the command that uses it.

    `server` is the address by which the new node is to reach us. Administrators only.
    """
    caller.require(Role.ADMIN)
    secret = new_secret("psj")
    now = deps.clock.now()
    expires_at = now + timedelta(seconds=request.expires_in)

    def work(tx: Transaction) -> None:
        row = JoinToken(
            id=new_id(JoinId),
            secret_hash=hash_secret(secret),
            node_name=request.node_name,
            created_at=now,
            expires_at=expires_at,
            used_at=None,
        )
        tx.join_tokens.add(row)
        message = say("join_token_created", by=caller.name)
        tx.events.append("join", row.id, None, "join_token.created", message, now)

    deps.run(work)
    return JoinTokenView(
        token=secret,
        expires_at=expires_at,
        command=_command(server, secret, request.node_name),
        note=_note(server),
    )


def _command(server: str, secret: str, name: str | None) -> str:
    words = ["penstock", "--server", server, "node", "join", "--token", secret]
    words += ["--name", name] if name else []
    return shlex.join([*words, *(["--insecure"] if _is_readable(server) else [])])


def _note(server: str) -> str | None:
    if is_loopback(host_of(server)):
        return (
            f"{server} is reached from the server's own machine only: for another one, start the "
            "server with `penstock up --host ADDRESS`, or say with --server or "
            "PENSTOCK_SERVER_PUBLIC_URL by which address the node reaches it"
        )
    if _is_readable(server):
        return (
            "over plain http everybody on the way can read the node's credential: put TLS before "
            "the server where you do not trust the network"
        )
    return None


def _is_readable(server: str) -> bool:
    """Whether the network sees what is said to this address."""
    return server.startswith("http:") and not is_loopback(host_of(server))


def _view(row: Project) -> ProjectView:
    return ProjectView(id=row.id, name=row.name, created_at=row.created_at)
