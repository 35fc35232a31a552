"""Which queued gang is considered next; what the order is made of is left to the policy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from scheduler.model import Gang
from scheduler.policies.base import Policy


def order(queued: Sequence[Gang], policy: Policy, now: datetime) -> list[Gang]:
    """The gangs as they are considered."""
    return sorted(queued, key=lambda gang: policy.order_key(gang, now))
