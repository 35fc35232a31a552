"""Lets callers and nodes in: bearer secrets to identities, remembered for two seconds at most."""

from __future__ import annotations

from functools import partial
from typing import Final

from starlette.requests import Request

from control_plane.errors import Denied, Unauthenticated
from control_plane.hints.hub import Hub
from control_plane.hints.topics import CREDENTIALS
from control_plane.server.lanes import in_lane
from control_plane.services.accounts.known_callers import REMEMBER_S, KnownCallers
from control_plane.services.accounts.tokens import authenticate, check_alive
from control_plane.services.deps import Caller, Deps
from control_plane.services.nodes.enrol import authenticate_node, check_join_token
from control_plane.services.nodes.incarnations import check_incarnation
from control_plane.services.nodes.known_nodes import KnownNodes
from penstock.addresses import asked_from_here
from penstock.api.assignments import INCARNATION_HEADER
from penstock.api.ids import NodeId, TokenId
from penstock.api.states import Role

MAX_SECRET: Final = 512
ALONE_S: Final = 60.0
JOIN_PREFIX: Final = "psj_"
EVERYBODY: Final = Caller(TokenId("none"), "local", Role.ADMIN, None, None)
"""Who calls when authentication is off, which is possible on loopback only."""


class Gate:
    """One per process. A token that is revoked elsewhere opens nothing here two seconds later."""

    def __init__(self, deps: Deps, hub: Hub, *, auth: bool) -> None:
        self._deps = deps
        self._auth = auth
        self._known = KnownCallers()
        self._nodes = KnownNodes()
        hub.follow(self._changed)

    def _changed(self, topic: str) -> None:
        if topic == CREDENTIALS:
            self._nodes.clear()

    async def caller(self, request: Request, role: Role) -> Caller:
        """Who asks. Raises Unauthenticated, and Denied without at least that role."""
        if not self._auth:
            _require_local(request)
            return EVERYBODY
        caller = await self._by_secret(bearer(request))
        caller.require(role)
        return caller

    async def node(self, request: Request, *, begins: bool) -> NodeId:
        """The id of the node that asks. Raises Unauthenticated, and Conflict unless the agent's
        incarnation speaks for the node or `begins` to.
        """
        secret = bearer(request)
        if begins:
            return await in_lane(authenticate_node, self._deps, secret)
        incarnation = named_incarnation(request)
        known = self._nodes.get(secret, incarnation)
        if known is None:
            as_of = self._nodes.num_cleared
            check = partial(check_incarnation, incarnation=incarnation)
            known = await in_lane(authenticate_node, self._deps, secret, check)
            # Where this process is the only one, it hears of every change.
            alone = self._deps.store.database.is_sqlite
            self._nodes.put(secret, incarnation, known, as_of, ALONE_S if alone else REMEMBER_S)
        return known

    async def join_token(self, request: Request) -> str | None:
        """The join token in the header, which holds at this moment. Raises Unauthenticated.

        None without one: agents one version older have it in the body.
        """
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip().startswith(JOIN_PREFIX):
            return None
        secret = bearer(request)
        await in_lane(check_join_token, self._deps, secret)
        return secret

    def forget(self, token_id: TokenId) -> None:
        """A token was revoked: at once here, elsewhere once it is not remembered any more."""
        self._known.forget(token_id)

    async def _by_secret(self, secret: str) -> Caller:
        known = self._known.get(secret)
        if known is None:
            known = await in_lane(authenticate, self._deps, secret)
            self._known.put(secret, known)
        check_alive(None, known.expires_at, self._deps.clock.now())
        return known.caller


def named_incarnation(request: Request) -> str | None:
    """The start of the agent that asks, as its header says."""
    return request.headers.get(INCARNATION_HEADER, "")[:48] or None


def bearer(request: Request) -> str:
    """The secret in the Authorization header. Raises Unauthenticated."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise Unauthenticated("unauthenticated")
    if len(secret) > MAX_SECRET or not secret.isascii():
        raise Unauthenticated("bad_token")
    return secret


def _require_local(request: Request) -> None:
    if not asked_from_here(request.headers):
        raise Denied("not_local")
