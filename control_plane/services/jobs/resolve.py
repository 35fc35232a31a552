"""Holds the names in a job spec (chips, queues, a model, a checkpoint to start from) against what
this cloud knows, and turns them into what they stand for now.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from control_plane.errors import invalid
from control_plane.services.nodes.chip_types import ANY, chip_types, table_types, unknown_chip
from control_plane.store.models import Checkpoint, Job
from control_plane.store.unit_of_work import Transaction
from penstock.api.errors import Violation
from penstock.api.ids import CheckpointId, noun_of
from penstock.api.specs import JobSpec
from penstock.api.vendors import vendor_table
from penstock.catalogue.violation import violation
from penstock.documents.violations import nearest
from penstock.json_types import Json

_PROBLEMS: Final = {
    "no_such_queue": "unknown_queue", "no_such_chip": "unknown_chip", "like_an_id": "bad_name",
    "not_trained_on": "untrainable_chip",
}  # fmt: skip


def check_spec(tx: Transaction, spec: JobSpec) -> JobSpec:
    """The spec with its queue by name. Raises Invalid for a chip that no node ever reported and no
    table names, for a queue that is not there, for names that look like ids, for too few chips,
    and for chips that training does not run on. A known type that is absent now is fine: the job
    waits, and explains.
    """
    queue = tx.queues.lookup(spec.queue)
    found = [*_chips(tx, spec.resources.chip), *_num_chips(spec), *_new_names(spec)]
    if queue is None:
        found.append(_no_queue(tx, spec.queue))
    if found:
        kinds = {_PROBLEMS.get(one.code, "invalid") for one in found}
        raise invalid(found, kinds.pop() if len(kinds) == 1 else "invalid")
    assert queue is not None
    return spec.model_copy(update={"queue": queue.name})


def resolve_work(tx: Transaction, job: Job, spec: JobSpec) -> Json:
    """What the engine is to load; raises Invalid where a name stands for nothing."""
    if spec.train is not None and spec.train.resume_from is not None:
        checkpoint = _checkpoint(tx, job, spec.train.resume_from, "/train/resume_from")
        _check_some_is_left(checkpoint, spec.train.steps)
        return {"resume": _reference(checkpoint)}
    if spec.serve is not None:
        model = _model(tx, job, spec.serve.model, spec.serve.endpoint or job.name)
        return {**model, "chips": spec.resources.chips.most}
    return {}


def _chips(tx: Transaction, wishes: Sequence[str]) -> Iterable[Violation]:
    vendors, in_table = vendor_table(), table_types()
    if all(wish == ANY or wish in vendors or wish in in_table for wish in wishes):
        return
    allowed = [ANY, *chip_types(tx), *vendors]
    for index, wish in enumerate(wishes):
        if wish not in allowed:
            pointer = "/resources/chip" + (f"/{index}" if len(wishes) > 1 else "")
            yield unknown_chip(pointer, wish, allowed)


def _num_chips(spec: JobSpec) -> Iterable[Violation]:
    """Not a matter of the document: specs of before have 0 where nobody said how many."""
    resources = spec.resources
    least = 1 if spec.train is not None or resources.share is not None else 0
    if resources.chips.least < least:
        given = resources.chips.least
        yield violation("/resources/chips", "greater_than_equal", received=given, ge=least)
    if spec.train is not None and not any(map(_may_train, resources.chip)):
        names = list(resources.chip)
        yield violation("/resources/chip", "not_trained_on", received=names, chips=names)


def _may_train(wish: str) -> bool:
    """Whether chips of a vendor, or of a type by its vendor's name, can be trained on."""
    vendor = vendor_table().get(wish.partition("-")[0])
    return vendor is None or vendor.trains


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


def _model(tx: Transaction, job: Job, model: str, name: str) -> Json:
    """`job:NAME` and `checkpoint:ID` are Penstock checkpoints, all else a folder on the node."""
    kind, separator, ref = model.partition(":")
    if separator and kind in ("job", "checkpoint"):
        checkpoint = _checkpoint(tx, job, ref, "/serve/model", kind)
        return {
            "model_uri": checkpoint.uri, "manifest_sha256": checkpoint.manifest_sha256,
            "model_name": name, "kind": "checkpoint", "shape": _shape(tx, checkpoint),
        }  # fmt: skip
    return {
        "model_uri": model, "manifest_sha256": None, "model_name": name, "kind": "huggingface",
    }  # fmt: skip


def _shape(tx: Transaction, checkpoint: Checkpoint) -> Json | None:
    """The sizes of the model, as the job that trained it gave them."""
    source = tx.jobs.get(checkpoint.job_id)
    train = source.spec.get("train") if source is not None else None
    return train and train["model"]


def _checkpoint(
    tx: Transaction, job: Job, ref: str, pointer: str, kind: str | None = None
) -> Checkpoint:
    """A checkpoint of the same project, by its id or as the newest of a job: of the newest run of
    that name that has any. `kind` says which of the two the reference has to be; None leaves it
    open.
    """
    noun, source = noun_of(ref), None
    if "checkpoint" in (noun, kind):
        direct = tx.checkpoints.get(CheckpointId(ref)) if kind != "job" else None
        if direct is not None and direct.project_id == job.project_id:
            return direct
    else:
        source = tx.jobs.find(ref, job.project_id)
        found = tx.checkpoints.intact(source.id) if source is not None else ()
        if found:
            return found[0]
        if noun is None and (earlier := tx.checkpoints.newest_of_name(ref, job.project_id)):
            return earlier
    raise invalid([_no_checkpoint(ref, pointer, kind, noun, source)], "no_such_checkpoint")


def _check_some_is_left(checkpoint: Checkpoint, steps: int) -> None:
    """A job that starts where it would end computes nothing, and would call that a success."""
    if checkpoint.step >= steps:
        wrong = violation("/train/steps", "nothing_left", received=steps, step=checkpoint.step)
        raise invalid([wrong])


def _no_checkpoint(
    ref: str, pointer: str, kind: str | None, noun: str | None, source: Job | None
) -> Violation:
    if source is not None:
        return violation(pointer, "no_checkpoint_yet", received=ref, ref=ref)
    wanted = {"job": "no job", "checkpoint": "no checkpoint's id"}
    missing = wanted.get(kind or "", "neither a job nor a checkpoint")
    fits = noun is None or noun == kind or (kind is None and noun in wanted)
    other = None if fits else noun
    return violation(
        pointer, "no_checkpoint_of", received=ref, ref=ref, missing=missing, other=other
    )


def _reference(checkpoint: Checkpoint) -> Json:
    return {
        "uri": checkpoint.uri, "step": checkpoint.step, "checkpoint_id": checkpoint.id,
        "manifest_sha256": checkpoint.manifest_sha256,
    }  # fmt: skip
