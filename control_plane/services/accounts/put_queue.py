"""Makes a queue, or changes how many chips its jobs may hold."""

from __future__ import annotations

from datetime import datetime

from control_plane.errors import PreconditionFailed, invalid
from control_plane.hints.topics import CYCLE
from control_plane.ids import new_id
from control_plane.services.deps import Caller, Deps
from control_plane.services.nodes.chip_types import ANY, chip_types, unknown_chip
from control_plane.store.models import Queue
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import QueueId, noun_of
from penstock.api.messages import say
from penstock.api.queues import QueueLimits
from penstock.api.specs import MAX_CHIPS
from penstock.api.states import Role
from penstock.catalogue.violation import violation
from penstock.documents import escape_pointer


def put_queue(
    deps: Deps, caller: Caller, name: str, wanted: QueueLimits, if_match: str | None
) -> bool:
    """True if the queue is new. Administrators only. `if_match` is the version that the caller
    saw; raises PreconditionFailed when another one stands now, Invalid for an unknown chip type.
    """
    caller.require(Role.ADMIN)
    now = deps.clock.now()

    def work(tx: Transaction) -> bool:
        _check(tx, wanted)
        row = tx.queues.find(name)
        _check_version(row, name, if_match)
        tx.hints.add(CYCLE)
        if row is None and noun_of(name) is not None:
            raise invalid([violation("name", "like_an_id", name=name)], "bad_name")
        if row is None:
            row = Queue(id=new_id(QueueId), name=name, limits={}, created_at=now, version=0)
            tx.queues.add(row)
            _write(tx, row, wanted, caller, now)
            return True
        _write(tx, row, wanted, caller, now)
        return False

    return deps.run(work)


def _write(tx: Transaction, row: Queue, wanted: QueueLimits, caller: Caller, now: datetime) -> None:
    row.limits = dict(wanted.limits)
    row.version += 1
    message = say("queue_limits", queue=row.name, by=caller.name, limits=row.limits)
    tx.events.append("queue", row.id, None, "queue.limits", message, now)


def _check_version(row: Queue | None, name: str, if_match: str | None) -> None:
    if if_match is None or (row is not None and if_match in ("*", str(row.version))):
        return
    if row is None:
        raise PreconditionFailed("no_queue_yet", name=name)
    raise PreconditionFailed("precondition_failed", noun="queue", name=name)


def _check(tx: Transaction, wanted: QueueLimits) -> None:
    allowed = [ANY, *chip_types(tx)]
    found = []
    for kind, most in wanted.limits.items():
        pointer = f"/limits/{escape_pointer(kind)}"
        if kind not in allowed:
            found.append(unknown_chip(pointer, kind, allowed))
        elif not 0 <= most <= MAX_CHIPS:
            found.append(violation(pointer, "between", received=most, least=0, most=MAX_CHIPS))
    if found:
        raise invalid(found)
