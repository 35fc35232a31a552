"""Turns names in a spec (a model, a checkpoint to start from) into what they stand for now."""

from __future__ import annotations

from control_plane.errors import invalid
from control_plane.store.models import Checkpoint, Job
from control_plane.store.unit_of_work import Transaction
from penstock.api.errors import Violation
from penstock.api.ids import CheckpointId, noun_of
from penstock.api.specs import JobSpec
from penstock.catalogue.violation import violation
from penstock.json_types import Json


def resolve_work(tx: Transaction, job: Job, spec: JobSpec) -> Json:
    """What the engine is to load; raises Invalid where a name stands for nothing."""
    if spec.train is not None and spec.train.resume_from is not None:
        checkpoint = _checkpoint(tx, job, spec.train.resume_from, "/train/resume_from")
        _check_some_is_left(checkpoint, spec.train.steps)
        return {"resume": _reference(checkpoint)}
    if spec.serve is not None:
        return _model(tx, job, spec.serve.model, spec.serve.endpoint or job.name)
    return {}


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
        found = tx.checkpoints.of_job(source.id) if source is not None else ()
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
