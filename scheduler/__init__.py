"""The scheduler: a pure library that turns a snapshot of the pool into a plan."""

from scheduler.planner import plan

__all__ = ["plan"]
