"""What a policy is: plain values and pure functions that the planner asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from scheduler.model import Gang

OrderKey = tuple[float, float, str]


@dataclass(frozen=True, slots=True)
class Policy:
    """How the planner orders gangs and weighs preemption."""

    name: str
    order_key: Callable[[Gang, datetime], OrderKey]
    """Smaller goes first. Never lets a lower priority before a higher one; ends in the id."""
    preempts: bool = True
    restart_cost_s: float = 30.0
    """What stopping and starting a gang costs on top of its lost work, in seconds."""
