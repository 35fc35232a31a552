"""What is told of nodes and their chips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NODES: Final[Mapping[str, str]] = {
    "enrolled": "enrolled",
    "open": "",
    "heartbeat": "heartbeats arrive",
    "heard": "heartbeats arrive again",
    "silent": "no heartbeat arrives",
    "operator": "by {by}",
    "idle": "nothing runs here any more",
    "node_joined": "node {node} joined",
    "node_rejoined": "node {node} rejoined",
    "node_chips": "node {node} reports {chips} chips",
    "chip_health": "chip {chip} of node {node} is {health}",
    "incarnation_refused": "another start of its agent claims node {node}: {waits}",
    "agent_heard": "the agent that speaks for the node is heard of",
    "its_agent_heard": "its agent is heard of",
    "held_for": "what ran there is held for {left_s} s more",
    "retire_then": "{held}: retire it then",
    "retire_cordoned": "it is being drained: retire it once it is cordoned",
    "drain_first": "drain it first",
    "cordon_first": "cordon or drain it first",
    "leases_held": "leases there are not over",
}
