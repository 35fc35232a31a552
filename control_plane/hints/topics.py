"""Names of the topics that hints are about."""

from __future__ import annotations

from penstock.api.ids import JobId, NodeId

CYCLE = "cycle"
"""Something came free, or may: the scheduler decides soon."""
SUBMITTED = "submitted"
"""One more waits: the scheduler decides once it has rested."""
ROUTES = "routes"
EVENTS = "events"
CREDENTIALS = "credentials"
"""Whoever speaks for some node may do so no longer."""


def node_topic(node_id: NodeId) -> str:
    """The node's assignment list changed."""
    return f"node:{node_id}"


def node_of(topic: str) -> NodeId | None:
    """Whose assignment list the topic is about; None for another topic."""
    kind, _, node_id = topic.partition(":")
    return NodeId(node_id) if kind == "node" else None


def job_topic(job_id: JobId) -> str:
    """The job, its replicas or its events changed."""
    return f"job:{job_id}"


def log_topic(job_id: JobId) -> str:
    """Log bytes of the job arrived."""
    return f"logs:{job_id}"
