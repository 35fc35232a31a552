"""The types of answers by name; imported only by clients that are typed."""

from penstock.api.changes import Changes
from penstock.api.chips import Chip, ChipType, Speed
from penstock.api.endpoints import Endpoint
from penstock.api.health import Alive, Readiness
from penstock.api.jobs import Checkpoint, Event, Job, LogLine, Replica
from penstock.api.nodes import JoinToken, Node
from penstock.api.plans import Cycle, Explanation, PlanAnswer
from penstock.api.queues import Queue
from penstock.api.specs import JobSpec
from penstock.api.tokens import Identity, JoinTokenRequest, NewToken, Project, Token, TokenRequest

__all__ = [
    "Alive", "Changes", "Checkpoint", "Chip", "ChipType", "Cycle", "Endpoint", "Event",
    "Explanation", "Identity", "Job", "JobSpec", "JoinToken", "JoinTokenRequest", "LogLine",
    "NewToken", "Node", "PlanAnswer", "Project", "Queue", "Readiness", "Replica", "Speed",
    "Token", "TokenRequest",
]  # fmt: skip
