"""Queues: where jobs wait, and how many chips a queue's jobs may hold at once."""

from __future__ import annotations

from pydantic import Field

from penstock.api.base import Strict, View
from penstock.api.ids import QueueId


class QueueLimits(Strict):
    """Most chips (of a type, or `any` for all together) that the queue's jobs may hold."""

    limits: dict[str, int] = Field(default_factory=dict, description="chip type or any to count")


class Queue(View):
    id: QueueId
    name: str
    limits: dict[str, int] = Field(default_factory=dict)
    used: dict[str, float] = Field(default_factory=dict, description="chip type to chips held")
    waiting: int
    running: int
    oldest_wait_s: float | None = None
    etag: str = ""
