"""What services work with, and who is asking. Built by `main.py`, passed as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from control_plane.clock import Clock
from control_plane.errors import Denied
from control_plane.launchers.base import Launcher
from control_plane.store.leader_watch import LeaderWatch
from control_plane.store.remembered import Remembered
from control_plane.store.snapshot.snapshot_reader import PoolReader, PoolReading
from control_plane.store.storage_probe import StorageProbe
from control_plane.store.unit_of_work import Store, Transaction
from penstock.api.ids import ProjectId, ReplicaId, TokenId
from penstock.api.jobs import Job
from penstock.api.states import Role
from scheduler.policies.base import Policy

ResultT = TypeVar("ResultT")


class Hints(Protocol):
    """Where services say that something changed (`control_plane.hints.hub.Hub`)."""

    def publish(self, topic: str) -> None: ...


class LogBytes(Protocol):
    """Where log bytes are kept (`control_plane.store.log_store`)."""

    def write(self, replica_id: ReplicaId, offset: int, data: bytes) -> None: ...

    def read(self, replica_id: ReplicaId, offset: int, limit: int) -> bytes: ...

    def next_kept(self, replica_id: ReplicaId, offset: int) -> int | None: ...

    def delete(self, replica_id: ReplicaId) -> None: ...

    def probe(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """Times and limits that services go by; from the settings."""

    heartbeat_s: float = 5.0
    suspect_after_s: float = 15.0
    lost_after_s: float = 60.0
    leader_term_s: float = 6.0
    max_log_chunk_bytes: int = 4 * 2**20
    max_queued_jobs: int = 100_000
    max_member_priority: int = 80
    """Above it are the priorities of administrators."""
    allows_private_webhooks: bool = False


@dataclass(frozen=True, slots=True)
class Deps:
    """The collaborators of every service."""

    store: Store
    hints: Hints
    clock: Clock
    logs: LogBytes
    storage: str
    policy: Policy
    launchers: Mapping[str, Launcher] = field(default_factory=dict)
    """By the name that nodes have for them."""
    rules: Rules = Rules()
    pool: PoolReader = field(default_factory=PoolReader)
    job_views: Remembered[Job] = field(default_factory=Remembered)
    storage_probe: StorageProbe = field(default_factory=StorageProbe)
    leader: LeaderWatch = field(default_factory=LeaderWatch)

    def read_pool(self, tx: Transaction, now: datetime) -> PoolReading:
        """The pool as `tx` sees it, for the planner."""
        return self.pool.read(tx, now, self.rules.suspect_after_s)

    def run(self, work: Callable[[Transaction], ResultT], *, serial: bool = True) -> ResultT:
        """Commits `work`, then (and only then) publishes the hints that it gathered."""
        result, hints = self.store.run(work, serial)
        for topic in sorted(hints):
            self.hints.publish(topic)
        return result


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated person or program. `project_id` is null for administrators."""

    token_id: TokenId
    name: str
    role: Role
    project_id: ProjectId | None
    project: str | None

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def sees(self) -> ProjectId | None:
        """The project to which reads are restricted; None is all of them."""
        return None if self.is_admin else self.project_id

    def require(self, role: Role) -> None:
        """Raises Denied unless the caller has at least that role."""
        order = (Role.VIEWER, Role.MEMBER, Role.ADMIN)
        if order.index(self.role) < order.index(role):
            raise Denied("denied", needed=role, token=self.name, role=self.role)
