"""Ends a replica's lease, and with it the hold on its chips and its share of the host."""

from __future__ import annotations

from datetime import datetime

from control_plane.services.gangs.moves import end_lease
from control_plane.store.models import Replica
from control_plane.store.unit_of_work import Transaction
from penstock.api.states import LeaseState


def release(tx: Transaction, replica: Replica, to: LeaseState, now: datetime) -> None:
    """Only on proof of death: the agent's exit record, or the lease's expiry and margin."""
    lease = tx.leases.of_replica(replica.id)
    if lease is not None:
        end_lease(tx, lease, to, now)
