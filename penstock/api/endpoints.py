"""Endpoints: stable addresses of serving jobs."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from penstock.api.base import Stateful, View
from penstock.api.ids import EndpointId, ReplicaId
from penstock.api.states import EndpointState


class EndpointReplica(View):
    id: ReplicaId
    node: str
    chip_type: str
    state: str
    ready: bool
    address: str | None = None
    weight: float | None = Field(default=None, description="measured speed, tokens/s")


class Endpoint(Stateful):
    state: EndpointState
    id: EndpointId
    name: str
    project: str
    job: str
    model: str
    manifest_sha256: str | None = Field(
        default=None, description="hash of the checkpoint that is served"
    )
    url: str
    num_replicas: int = Field(description="how many were asked for")
    replicas: list[EndpointReplica] = Field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    created_at: datetime
