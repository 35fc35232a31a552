"""API tokens: who is asking, and making, listing and revoking them. Secrets are kept as hashes."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from control_plane.errors import Conflict, Denied, Unauthenticated, invalid, not_found
from control_plane.ids import hash_secret, new_id, new_secret
from control_plane.services.deps import Caller, Deps
from control_plane.store.database.faults import DatabaseFault
from control_plane.store.models import Project, Token
from control_plane.store.unit_of_work import Transaction
from penstock.api.base import Page
from penstock.api.ids import ProjectId, TokenId
from penstock.api.messages import say
from penstock.api.states import Role
from penstock.api.tokens import NewToken, TokenRequest
from penstock.api.tokens import Token as TokenView
from penstock.catalogue.violation import violation

log = structlog.get_logger()

TOUCH_AFTER: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Who a token stands for, and until when."""

    caller: Caller
    expires_at: datetime | None


def authenticate(deps: Deps, secret: str) -> Authenticated:
    """Whose token this is. Raises Unauthenticated for one unknown, expired or revoked."""
    presented = hash_secret(secret)
    now = deps.clock.now()
    with deps.store.read() as tx:
        row = tx.tokens.by_hash(presented)
        known = row is not None and hmac.compare_digest(row.secret_hash, presented)
        if row is None or not known or (row.project_id is None and row.role != Role.ADMIN):
            raise Unauthenticated("bad_token")
        project = tx.projects.find(row.project_id) if row.project_id else None
    check_alive(row.revoked_at, row.expires_at, now)
    if row.last_used_at is None or now - row.last_used_at > TOUCH_AFTER:
        _touch(deps, row.id, now)
    caller = Caller(
        token_id=row.id,
        name=row.name,
        role=Role(row.role),
        project_id=row.project_id,
        project=project.name if project else None,
    )
    return Authenticated(caller, row.expires_at)


def check_alive(revoked_at: datetime | None, expires_at: datetime | None, now: datetime) -> None:
    """Raises Unauthenticated once the token was revoked or its time is over."""
    if revoked_at is not None:
        raise Unauthenticated("token_revoked")
    if expires_at is not None and expires_at <= now:
        raise Unauthenticated("token_expired")


def ensure_admin(deps: Deps, keep: Callable[[str], None] = lambda _secret: None) -> str | None:
    """The secret of a new first administrator; None if there is one already. Where `keep` raises,
    there is none.
    """
    secret = new_secret("pst")
    now = deps.clock.now()

    def work(tx: Transaction) -> bool:
        if tx.tokens.has_admin():
            return False
        tx.tokens.add(_row("admin", Role.ADMIN, None, secret, now, None))
        keep(secret)
        return True

    return secret if deps.run(work) else None


def create_token(deps: Deps, caller: Caller, request: TokenRequest) -> NewToken:
    """A new token with its secret, which is nowhere else to be had. Administrators only."""
    caller.require(Role.ADMIN)
    _check(request)
    secret = new_secret("pst")
    now = deps.clock.now()
    lasts = timedelta(seconds=request.expires_in) if request.expires_in is not None else None

    def work(tx: Transaction) -> NewToken:
        project = _project(tx, request.project)
        row = _row(request.name, request.role, project, secret, now, now + lasts if lasts else None)
        tx.tokens.add(row)
        tx.events.append(
            "token",
            row.id,
            row.project_id,
            "token.created",
            say("token_created", token=row.name, role=row.role, by=caller.name),
            now,
        )
        names = {project.id: project.name} if project else {}
        return NewToken(**_view(row, names).model_dump(), secret=secret)

    return deps.run(work)


def list_tokens(deps: Deps, caller: Caller, limit: int, cursor: str | None) -> Page[TokenView]:
    """All tokens without their secrets, in the order they were made. Administrators only."""
    caller.require(Role.ADMIN)
    with deps.store.read() as tx:
        found = tx.tokens.page(limit, cursor)
        names = tx.projects.names({row.project_id for row in found.rows if row.project_id})
        return Page[TokenView](items=[_view(row, names) for row in found.rows], next=found.next)


def revoke_token(deps: Deps, caller: Caller, ref: str) -> TokenId:
    """The id of the token that from now on opens nothing. Everybody may revoke their own.

    Raises NotFound, Conflict where several tokens have that name or it is the last
    administrator's.
    """
    now = deps.clock.now()

    def work(tx: Transaction) -> TokenId:
        row = _find(tx, caller, ref)
        if row.revoked_at is None:
            _keep_an_admin(tx, row, now)
            row.revoked_at = now
            tx.events.append(
                "token",
                row.id,
                row.project_id,
                "token.revoked",
                say("revoked", token=row.name, by=caller.name),
                now,
            )
        return row.id

    return deps.run(work)


def _check(request: TokenRequest) -> None:
    found = []
    if request.role is Role.ADMIN and request.project is not None:
        found.append(violation("/project", "role_for_all", received=request.project))
    if request.role is not Role.ADMIN and request.project is None:
        found.append(violation("/project", "role_needs_project", role=request.role))
    if found:
        raise invalid(found)


def _project(tx: Transaction, name: str | None) -> Project | None:
    if name is None:
        return None
    project = tx.projects.find(name)
    if project is None:
        raise not_found("project", name)
    return project


def _row(
    name: str,
    role: Role,
    project: Project | None,
    secret: str,
    now: datetime,
    expires_at: datetime | None,
) -> Token:
    return Token(
        id=new_id(TokenId),
        name=name,
        role=role,
        project_id=project.id if project else None,
        secret_hash=hash_secret(secret),
        created_at=now,
        expires_at=expires_at,
        revoked_at=None,
        last_used_at=None,
    )


def _find(tx: Transaction, caller: Caller, ref: str) -> Token:
    rows = tx.tokens.meant(ref, None if caller.is_admin else caller.token_id)
    alive = [row for row in rows if row.revoked_at is None] or rows
    if not rows:
        if not caller.is_admin:
            raise Denied("token_of_another")
        raise not_found("token", ref)
    if len(alive) > 1 and alive[0].revoked_at is None:
        raise Conflict("ambiguous_token", num=len(alive), ref=ref)
    return alive[0]


def _keep_an_admin(tx: Transaction, row: Token, now: datetime) -> None:
    """Nobody could make the next token if the last administrator's were gone."""
    if row.role == Role.ADMIN and not tx.tokens.has_admin(now, but=row.id):
        raise Conflict("last_admin", token=row.name)


def _touch(deps: Deps, token_id: TokenId, now: datetime) -> None:
    """When a token was last used is good to know, but no reason to refuse a request."""
    try:
        deps.run(lambda tx: tx.tokens.touch(token_id, now))
    except DatabaseFault as error:
        log.warning("token_use_not_noted", token_id=token_id, error=str(error))


def _view(row: Token, projects: dict[ProjectId, str]) -> TokenView:
    return TokenView(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        project=projects.get(row.project_id) if row.project_id else None,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
