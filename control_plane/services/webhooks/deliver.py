"""Delivers the news of a job's end: at least once, with back-off, to public addresses only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Final, Protocol

from control_plane.domain.retries import MOST_BACKOFF_S, backoff_s
from control_plane.services.deps import Deps
from control_plane.store.models import Delivery
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import DeliveryId

MAX_TRIES: Final = 8
CLAIM_S: Final = 15.0
"""Longer than any post takes (`control_plane.tasks.webhook_client`)."""
LONGEST: Final = timedelta(seconds=max(MOST_BACKOFF_S, CLAIM_S))


class Post(Protocol):
    """Posts a JSON document; returns None on success, else why it failed. Never raises."""

    def __call__(
        self, url: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> str | None: ...


def deliver_webhook(deps: Deps, post: Post, delivery_id: DeliveryId) -> None:
    """The row is the truth: a message about a delivery that is done, not due, or in other hands
    does nothing. Hands that die let go of it after CLAIM_S.

    Receivers tell repeats by the header `Penstock-Delivery`.
    """
    row = deps.run(partial(_claim, deps=deps, delivery_id=delivery_id), serial=False)
    if row is None:
        return
    headers = {"Penstock-Delivery": row.id, "Penstock-Event": str(row.body.get("event", ""))}
    failure = post(row.url, row.body, headers)
    note = partial(_note, deps=deps, delivery_id=row.id, tries=row.num_tries, failure=failure)
    deps.run(note, serial=False)


def due_deliveries(deps: Deps, limit: int = 100) -> list[tuple[str, int]]:
    """Deliveries whose time has come, each with the number of its tries so far."""
    with deps.store.read() as tx:
        rows = tx.deliveries.due(deps.clock.now(), LONGEST, limit)
        return [(row.id, row.num_tries) for row in rows]


def _claim(tx: Transaction, deps: Deps, delivery_id: DeliveryId) -> Delivery | None:
    now = deps.clock.now()
    until = now + timedelta(seconds=CLAIM_S)
    if not tx.deliveries.claim(delivery_id, now, LONGEST, until):
        return None
    return tx.deliveries.get(delivery_id)


def _note(
    tx: Transaction, deps: Deps, delivery_id: DeliveryId, tries: int, failure: str | None
) -> None:
    row = tx.deliveries.get(delivery_id)
    if row is None or row.state != "pending" or row.num_tries != tries:
        return
    row.num_tries += 1
    if failure is None:
        row.state = "delivered"
        return
    row.last_error = failure[:1000]
    row.next_at = deps.clock.now() + timedelta(seconds=backoff_s(row.num_tries))
    if row.num_tries >= MAX_TRIES:
        row.state = "failed"
