"""What routes are given: the services' collaborators, who is asking, and common parameters.

A route's policy is the caller it asks for. A route that asks for none is not served.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Path, Query
from starlette.requests import Request

from control_plane.api.address import Listening
from control_plane.api.failures import Malformed
from control_plane.api.gate import Gate, named_incarnation
from control_plane.api.heartbeats import Heartbeats
from control_plane.api.idle_nodes import IdleNodes
from control_plane.api.streams import Streams
from control_plane.services.changes.feed import Feed
from control_plane.services.deps import Caller, Deps
from penstock.api.ids import NodeId
from penstock.api.specs import Name
from penstock.api.states import Role


async def get_deps(request: Request) -> Deps:
    deps: Deps = request.app.state.deps
    return deps


async def get_gate(request: Request) -> Gate:
    gate: Gate = request.app.state.gate
    return gate


async def get_streams(request: Request) -> Streams:
    streams: Streams = request.app.state.streams
    return streams


async def get_heartbeats(request: Request) -> Heartbeats:
    heartbeats: Heartbeats = request.app.state.heartbeats
    return heartbeats


async def get_idle_nodes(request: Request) -> IdleNodes:
    idle: IdleNodes = request.app.state.idle_nodes
    return idle


async def get_feed(request: Request) -> Feed:
    feed: Feed = request.app.state.feed
    return feed


async def get_listening(request: Request) -> Listening:
    listening: Listening = request.app.state.listening
    return listening


async def viewer(request: Request) -> Caller:
    """Anybody with a token. The route let the caller in already (`route.Route`)."""
    caller: Caller = request.state.caller
    return caller


async def member(request: Request) -> Caller:
    """Somebody who may submit and change jobs of a project."""
    caller: Caller = request.state.caller
    return caller


async def admin(request: Request) -> Caller:
    """Somebody who may do everything."""
    caller: Caller = request.state.caller
    return caller


async def node(request: Request) -> NodeId:
    """A node's agent; its id."""
    node_id: NodeId = request.state.node_id
    return node_id


async def incarnation(request: Request) -> str | None:
    """The start of the agent that asks."""
    return named_incarnation(request)


async def joiner(request: Request) -> str | None:
    """Who wants to become a node: the join token, unless the body has it."""
    token: str | None = request.state.join_token
    return token


async def public() -> None:
    """Nobody needs to say who they are."""


NODE: Final = "node"
PUBLIC: Final = "public"
POLICIES: Final[dict[Callable[..., Any], Role | str]] = {
    viewer: Role.VIEWER,
    member: Role.MEMBER,
    admin: Role.ADMIN,
    node: NODE,
    joiner: PUBLIC,
    public: PUBLIC,
}

PLAIN: Final = frozenset(
    {
        get_deps, get_feed, get_gate, get_heartbeats, get_idle_nodes, get_listening, get_streams,
        incarnation,
        *POLICIES,
    }
)  # fmt: skip
"""Whatever needs the request alone."""

DepsParam = Annotated[Deps, Depends(get_deps)]
GateParam = Annotated[Gate, Depends(get_gate)]
StreamsParam = Annotated[Streams, Depends(get_streams)]
HeartbeatsParam = Annotated[Heartbeats, Depends(get_heartbeats)]
IdleNodesParam = Annotated[IdleNodes, Depends(get_idle_nodes)]
FeedParam = Annotated[Feed, Depends(get_feed)]
ListensAt = Annotated[Listening, Depends(get_listening)]
Viewer = Annotated[Caller, Depends(viewer)]
Member = Annotated[Caller, Depends(member)]
Admin = Annotated[Caller, Depends(admin)]
AgentNode = Annotated[NodeId, Depends(node)]
Incarnation = Annotated[str | None, Depends(incarnation)]
JoinToken = Annotated[str | None, Depends(joiner)]

Ref = Annotated[
    str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$", max_length=128, description="id or name")
]
NewName = Annotated[Name, Path(description="name")]
Limit = Annotated[int, Query(ge=1, le=500, description="items on one page")]
Cursor = Annotated[
    str | None, Query(max_length=512, description="`next` of the page before; opaque")
]
Word = Annotated[str | None, Query(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$", max_length=128)]
Retired = Annotated[bool, Query(description="also what is out of the pool for good")]
IfMatch = Annotated[
    str | None,
    Header(max_length=200, description="ETag of what was read; another version is a 412"),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=256,
        pattern=r"^[\x21-\x7e]+$",
        description="the same key with the same body is the same job",
    ),
]
LastEventId = Annotated[
    str | None, Header(max_length=16384, description="id of the last event seen; goes on after it")
]


def version_of(if_match: str | None) -> str | None:
    """The version in an ETag of ours: it stands before the first dash."""
    if if_match is None:
        return None
    word = if_match.strip().removeprefix("W/").strip('"')
    if "," in word or '"' in word:
        raise Malformed("bad_etag")
    return word.partition("-")[0]
