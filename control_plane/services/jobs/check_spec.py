"""Holds the names in a job spec against what this cloud knows: chips and queues."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control_plane.errors import Invalid
from control_plane.services.nodes.chip_types import ANY, chip_types, unknown_chip
from control_plane.store.unit_of_work import Transaction
from penstock.api.errors import Violation
from penstock.api.ids import NAME_LIKE_ID, noun_of
from penstock.api.specs import JobSpec
from penstock.api.vendors import vendor_table
from penstock.documents.violations import nearest


def check_spec(tx: Transaction, spec: JobSpec) -> JobSpec:
    """The spec with its queue by name. Raises Invalid for a chip that no node ever reported and no
    table names, for a queue that is not there, and for names that look like ids. A known type
    that is absent now is fine: the job waits, and explains.
    """
    queue = tx.queues.find(spec.queue)
    found = [*_chips(tx, spec.resources.chip), *_new_names(spec)]
    if queue is None:
        found.append(_no_queue(tx, spec.queue))
    if found:
        codes = {"/queue": "unknown_queue", "/name": "bad_name", "/serve/endpoint": "bad_name"}
        kinds = {codes.get(one.pointer, "unknown_chip") for one in found}
        there_is = "see what there is: penstock chip list, penstock queue list"
        hint = None if kinds == {"bad_name"} else there_is
        raise Invalid(
            "; ".join(one.message for one in found),
            code=kinds.pop() if len(kinds) == 1 else "invalid",
            hint=hint,
            violations=found,
        )
    assert queue is not None
    return spec.model_copy(update={"queue": queue.name})


def _chips(tx: Transaction, wishes: Sequence[str]) -> Iterable[Violation]:
    vendors = vendor_table()
    if all(wish == ANY or wish in vendors for wish in wishes):
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
            yield Violation(pointer=pointer, message=f"`{name}` {NAME_LIKE_ID}", received=name)


def _no_queue(tx: Transaction, name: str) -> Violation:
    names = [queue.name for queue in tx.queues.all()]
    return Violation(
        pointer="/queue",
        message=f"there is no queue `{name}`",
        received=name,
        allowed=names,
        did_you_mean=nearest(name, names),
    )
