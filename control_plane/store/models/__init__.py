"""All tables. Every table of users' objects carries its project."""

from control_plane.store.models.accounts import IdempotencyKey, JoinToken, Project, Token
from control_plane.store.models.base import Base
from control_plane.store.models.clock import LeaseClock
from control_plane.store.models.feed import Change, Count
from control_plane.store.models.fleet import Chip, Node, Queue, Speed
from control_plane.store.models.history import Cycle, Delivery, Event, Leader, TokenUsage, Usage
from control_plane.store.models.schema import SchemaRevision
from control_plane.store.models.work import Checkpoint, Endpoint, Gang, Job, Lease, Replica

__all__ = [
    "Base",
    "Change",
    "Checkpoint",
    "Chip",
    "Count",
    "Cycle",
    "Delivery",
    "Endpoint",
    "Event",
    "Gang",
    "IdempotencyKey",
    "Job",
    "JoinToken",
    "Leader",
    "Lease",
    "LeaseClock",
    "Node",
    "Project",
    "Queue",
    "Replica",
    "SchemaRevision",
    "Speed",
    "Token",
    "TokenUsage",
    "Usage",
]
