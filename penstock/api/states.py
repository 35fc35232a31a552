"""The closed sets of states. Who may move which is in `control_plane/domain/`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class JobState(StrEnum):
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class ReplicaState(StrEnum):
    ASSIGNED = "assigned"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"
    LOST = "lost"


class NodeHealth(StrEnum):
    JOINING = "joining"
    READY = "ready"
    SUSPECT = "suspect"
    LOST = "lost"


class NodeIntent(StrEnum):
    SCHEDULABLE = "schedulable"
    CORDONED = "cordoned"
    DRAINING = "draining"
    RETIRED = "retired"


class LeaseState(StrEnum):
    HELD = "held"
    RELEASED = "released"
    EXPIRED = "expired"


class EndpointState(StrEnum):
    PENDING = "pending"
    READY = "ready"
    DEGRADED = "degraded"
    CLOSED = "closed"


class ChipHealth(StrEnum):
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class JobType(StrEnum):
    TRAIN = "train"
    SERVE = "serve"
    TASK = "task"


class Role(StrEnum):
    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"


class ExitReason(StrEnum):
    """Why a replica's process ended. `infrastructure` ones never consume the user's retries."""

    COMPLETED = "completed"
    ERROR = "error"
    OUT_OF_MEMORY = "out_of_memory"
    STOPPED = "stopped"
    TIMEOUT = "timeout"
    KILLED = "killed"
    LEASE_EXPIRED = "lease_expired"
    START_FAILED = "start_failed"
    LOST = "lost"
    PEER_LOST = "peer_lost"


class Outcome(StrEnum):
    """What a stopping attempt ends in; carried by the job while it is `stopping`."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    RETRY = "retry"
