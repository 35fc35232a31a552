"""Makes a written checkpoint real: only under the current epoch of its gang."""

from __future__ import annotations

from control_plane.domain.places import is_below, job_folder
from control_plane.errors import Conflict, Invalid
from control_plane.ids import new_id
from control_plane.services.agents.reports import refusal_of
from control_plane.services.deps import Deps
from control_plane.store.models import Checkpoint, Replica
from control_plane.store.unit_of_work import Transaction
from penstock.api.assignments import CheckpointCommit, CheckpointReply
from penstock.api.ids import CheckpointId, NodeId
from penstock.api.messages import say
from penstock.catalogue.violation import violation


def commit_checkpoint(deps: Deps, node_id: NodeId, commit: CheckpointCommit) -> CheckpointReply:
    """The same commit again answers the same checkpoint. Raises Conflict `stale_epoch`, Invalid for
    files that do not lie in the job's own folder: the next attempt reads what is committed.
    """
    now = deps.clock.now()

    def work(tx: Transaction) -> CheckpointId:
        replica = _current(tx, node_id, commit)
        _check_place(commit.uri, job_folder(deps.storage, replica.job_id))
        for known in tx.checkpoints.of_job(replica.job_id):
            if (known.epoch, known.step) == (commit.epoch, commit.step):
                return known.id
        row = Checkpoint(
            id=new_id(CheckpointId),
            project_id=replica.project_id,
            job_id=replica.job_id,
            epoch=commit.epoch,
            step=commit.step,
            uri=commit.uri,
            manifest_sha256=commit.manifest_sha256,
            committed_at=now,
            damaged=None,
        )
        tx.checkpoints.add(row)
        tx.events.append(
            "job",
            replica.job_id,
            replica.project_id,
            "checkpoint.committed",
            say("checkpoint", step=commit.step),
            now,
            {"checkpoint": row.id, "step": commit.step, "sha256": commit.manifest_sha256},
        )
        return row.id

    return CheckpointReply(checkpoint_id=deps.run(work))


def _check_place(uri: str, folder: str) -> None:
    if is_below(uri, folder):
        return
    wrong = violation("/uri", "not_below", received=uri[:200], folder=folder)
    raise Invalid("bad_place", folder=folder, violations=[wrong])


def _current(tx: Transaction, node_id: NodeId, commit: CheckpointCommit) -> Replica:
    replica = tx.replicas.get(commit.replica_id)
    gang = tx.gangs.get(replica.gang_id) if replica is not None else None
    refusal = refusal_of(replica, node_id, commit.replica_id, commit.epoch)
    if refusal is None and gang is not None and gang.attempt == commit.epoch:
        assert replica is not None
        return replica
    code = refusal.code if refusal is not None else "stale_epoch"
    raise Conflict(code, replica=commit.replica_id, step=commit.step, epoch=commit.epoch)
