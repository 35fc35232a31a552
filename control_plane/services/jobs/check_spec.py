"""Holds the names in a job spec against what this cloud knows: chips and queues."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from control_plane.errors import invalid
from control_plane.services.nodes.chip_types import ANY, chip_types, table_types, unknown_chip
from control_plane.store.unit_of_work import Transaction
from penstock.api.errors import Violation
from penstock.api.ids import noun_of
from penstock.api.specs import JobSpec
from penstock.api.vendors import vendor_table
from penstock.catalogue.violation import violation
from penstock.documents.violations import nearest

_PROBLEMS: Final = {
    "no_such_queue": "unknown_queue", "no_such_chip": "unknown_chip", "like_an_id": "bad_name",
}  # fmt: skip


def check_spec(tx: Transaction, spec: JobSpec) -> JobSpec:
    """The spec with its queue by name. Raises Invalid for a chip that no node ever reported and no
    table names, for a queue that is not there, and for names that look like ids. A known type
    that is absent now is fine: the job waits, and explains.
    """
    queue = tx.queues.lookup(spec.queue)
    found = [*_chips(tx, spec.resources.chip), *_new_names(spec)]
    if queue is None:
        found.append(_no_queue(tx, spec.queue))
    if found:
        kinds = {_PROBLEMS[one.code] for one in found}
        raise invalid(found, kinds.pop() if len(kinds) == 1 else "invalid")
    assert queue is not None
    return spec.model_copy(update={"queue": queue.name})


def _chips(tx: Transaction, wishes: Sequence[str]) -> Iterable[Violation]:
    vendors, in_table = vendor_table(), table_types()
    if all(wish == ANY or wish in vendors or wish in in_table for wish in wishes):
        return
    allowed = [ANY, *chip_types(tx), *vendors]
    for index, wish in enumerate(wishes):
        if wish not in allowed:
            pointer = "/resources/chip" + (f"/{index}" if len(wishes) > 1 else "")
            yield unknown_chip(pointer, wish, allowed)


def _new_names(spec: JobSpec) -> Iterable[Violation]:
    endpoint = spec.serve.endpoint if spec.serve is not None else None
    for pointer, name in (("/name", spec.name), ("/serve/endpoint", endpoint)):
        if name is not None and noun_of(name) is not None:
            yield violation(pointer, "like_an_id", received=name, name=name)


def _no_queue(tx: Transaction, name: str) -> Violation:
    names = [queue.name for queue in tx.queues.all()]
    meant = nearest(name, names)
    return violation(
        "/queue", "no_such_queue", received=name, allowed=names, did_you_mean=meant, name=name
    )
