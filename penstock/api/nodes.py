"""Nodes as the API shows them, and what an operator may do to one."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from penstock.api.base import Stateful, View
from penstock.api.ids import NodeId
from penstock.api.states import NodeHealth, NodeIntent


class Health(Stateful):
    state: NodeHealth


class Intent(Stateful):
    state: NodeIntent


class Node(View):
    """One machine running one agent. `health` is observed, `intent` is the operator's."""

    id: NodeId
    name: str
    health: Health
    intent: Intent
    labels: dict[str, str] = Field(default_factory=dict)
    cores_milli: int
    free_cores_milli: int
    memory_bytes: int
    free_memory_bytes: int
    num_chips: int
    chips: dict[str, int] = Field(default_factory=dict, description="chip type to count")
    platform: str = ""
    agent_version: str = ""
    address: str = ""
    limits: dict[str, str] = Field(
        default_factory=dict, description="how cpu, memory and link limits are enforced there"
    )
    dropped: list[str] = Field(default_factory=list, description="devices left out, with reasons")
    refused_incarnation: str | None = Field(
        default=None,
        description="another start of the agent that claims this node and is refused: its state "
        "folder was copied or restored, or its name is used twice",
    )
    last_heartbeat_at: datetime | None = None
    created_at: datetime
    etag: str = ""


class JoinToken(View):
    """A single-use token with which one agent enrols; shown once."""

    token: str
    expires_at: datetime
    command: str = Field(description="to be run on the machine that is to join")
    note: str | None = Field(default=None, description="what stands against running it elsewhere")
