"""The pipeline: gangs in order, each placed, kept seats for, or deferred with its reason."""

from __future__ import annotations

from datetime import datetime

from scheduler.draft import Draft
from scheduler.model import Plan, Snapshot
from scheduler.order import order
from scheduler.policies.base import Policy


def plan(snapshot: Snapshot, policy: Policy, now: datetime) -> Plan:
    """One cycle's decisions. Pure: the same snapshot, in whichever order, gives the same plan.

    A gang may be passed by one that comes after it only if it could not start in its place.
    """
    draft = Draft.of(snapshot, policy)
    for gang in order(snapshot.queued, policy, now):
        draft = (
            draft.back_off(gang, now)
            or draft.recall(gang)
            or draft.place(gang)
            or draft.refuse(gang)
            or draft.wait_for_release(gang)
            or draft.preempt_for(gang)
            or draft.defer(gang)
        )
    return draft.finish()
