"""Higher priority first, then the older gang, then the smaller id."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from scheduler.model import Gang
from scheduler.policies.base import OrderKey, Policy


def _order_key(gang: Gang, now: datetime) -> OrderKey:
    return (-gang.priority, gang.created_at.timestamp(), gang.id)


PRIORITY_AGE: Final = Policy(name="priority-age", order_key=_order_key)
