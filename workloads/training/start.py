"""Where an attempt begins: which step, which data, which state. Rank 0 finds out for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel, ConfigDict

from penstock.api.specs import ShareStep, TrainSpec
from penstock.json_types import Json
from workloads.checkpoints.files import Written, read_manifest
from workloads.checkpoints.manifest import CheckpointError, Manifest, render_manifest, sha256_hex
from workloads.settings import Settings
from workloads.storage_retry import retry_storage
from workloads.training.data.dataset import (
    Dataset,
    check_size,
    load_dataset,
    prepare_dataset,
    store_dataset,
)
from workloads.transport.gloo import Transport

MUST_NOT_CHANGE = ("model", "data", "data_limit", "seed", "batch_size")


class Resume(BaseModel):
    """The committed checkpoint that an attempt continues."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    uri: str
    step: int
    manifest_sha256: str | None = None
    checkpoint_id: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """What every rank needs to know to begin; the resumed checkpoint is known to rank 0 only."""

    first_step: int
    dataset: Dataset
    past_shares: tuple[ShareStep, ...] = ()
    resumed: Written | None = None
    manifest: Manifest | None = None


def parse_work(work: Json) -> tuple[TrainSpec, Resume | None]:
    """The training spec and what to resume; raises ValueError (pydantic's) for a bad document."""
    fields = {key: value for key, value in work.items() if key in TrainSpec.model_fields}
    resume = work.get("resume")
    return TrainSpec.model_validate(fields), resume and Resume.model_validate(resume)


def find_start(settings: Settings, spec: TrainSpec, resume: Resume | None) -> Start:
    """Rank 0's part: the data are on storage for the other ranks when this returns.

    Raises CheckpointError for a damaged checkpoint and ValueError for data that cannot be used.
    """
    if resume is None:
        limit, vocab = spec.data_limit, spec.model.vocab_size
        dataset = prepare_dataset(spec.data, limit, vocab, settings.cache_dir)
        check_size(dataset, spec.model.max_seq_len)
        store_dataset(settings.storage, dataset)
        return Start(0, dataset)
    manifest = read_manifest(resume.uri, resume.manifest_sha256)
    _check_same_job(resume.uri, manifest, spec)
    dataset = _recorded_dataset(settings.storage, resume.uri, manifest)
    resumed = Written(resume.uri, manifest.step, sha256_hex(render_manifest(manifest)))
    return Start(manifest.data.next_step, dataset, manifest.shares, resumed, manifest)


def share_start(
    transport: Transport, storage: str, start: Start | None, report: Callable[[str], None]
) -> Start:
    """Gives every rank rank 0's start; the others read the same data from storage, and `report`
    where they wait for it.
    """
    document = (
        None
        if start is None
        else {
            "first_step": start.first_step,
            "dataset": start.dataset.sha256,
            "past_shares": [entry.model_dump() for entry in start.past_shares],
        }
    )
    shared = transport.agree("start", document)
    if start is not None:
        return start
    past = tuple(ShareStep.model_validate(entry) for entry in shared["past_shares"])
    dataset = retry_storage(partial(load_dataset, storage, shared["dataset"]), "the data", report)
    return Start(shared["first_step"], dataset, past)


def _check_same_job(uri: str, manifest: Manifest, spec: TrainSpec) -> None:
    """A checkpoint continues the data order and the model that it was made with."""
    before, now = manifest.train, spec.model_dump(mode="json")
    changed = [name for name in MUST_NOT_CHANGE if before.get(name) != now[name]]
    if changed:
        raise CheckpointError(
            f"{uri} was made with another train.{', train.'.join(changed)}: "
            "a job that resumes must keep them"
        )


def _job_folder(checkpoint_uri: str) -> str:
    """The folder of the job that wrote a checkpoint, two levels up."""
    return checkpoint_uri.rstrip("/").rsplit("/", 2)[0]


def _recorded_dataset(storage: str, uri: str, manifest: Manifest) -> Dataset:
    """The very tokens the checkpoint was trained on, from this job's folder or the former's."""
    sha256 = manifest.data.dataset_sha256
    try:
        return load_dataset(storage, sha256)
    except CheckpointError:
        dataset = load_dataset(_job_folder(uri), sha256)
    store_dataset(storage, dataset)
    return dataset
