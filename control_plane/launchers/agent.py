"""Launches through node agents: they fetch their assignment list, so waking them is enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from control_plane.hints.topics import node_topic
from control_plane.launchers.base import Launch


class AgentLauncher:
    """Publishes a hint per node; an agent that misses it polls within seconds anyway."""

    def __init__(self, publish: Callable[[str], None]) -> None:
        self._publish = publish

    def launch(self, launches: Sequence[Launch]) -> None:
        for node_id in sorted({launch.node_id for launch in launches}):
            self._publish(node_topic(node_id))
