"""Training goes on from an older checkpoint where the newest one turns out to be damaged."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from control_plane.services.gangs.replica_message import whose
from control_plane.services.gangs.verdict import Cause, Verdict, failures_of, reported_code
from control_plane.store.models import Gang, Job, Replica
from control_plane.store.unit_of_work import Transaction
from penstock.api.messages import say
from penstock.api.states import ExitReason, Outcome
from penstock.catalogue import render

BAD_CHECKPOINT: Final = "bad_checkpoint"


def fall_back(
    tx: Transaction, job: Job, gang: Gang, replica: Replica, now: datetime
) -> Verdict | None:
    """The verdict on an attempt that could not resume the job's newest checkpoint: that one is
    passed over from now on, and nobody pays for the attempt. None where it failed by something
    else, or nothing older is there to go on from.
    """
    if reported_code(replica) != BAD_CHECKPOINT:
        return None
    given = [it for it in tx.checkpoints.intact(job.id) if it.epoch < gang.attempt]
    if not given:
        return None
    started: int | None = (job.resolved.get("resume") or {}).get("step")
    older = given[1].step if len(given) > 1 else started
    if older is None:
        return None
    why, newest = replica.coded_message, given[0]
    newest.damaged = render(why)
    told = say("checkpoint_damaged", step=newest.step, why=why, older=older)
    about = {"checkpoint": newest.id, "step": newest.step}
    tx.events.append("job", job.id, job.project_id, "checkpoint.damaged", told, now, about)
    end = say("goes_on_from", step=older)
    message = say("attempt_failed", whose=whose(tx, replica), cause=why, end=end)
    cause = Cause(ExitReason.ERROR, BAD_CHECKPOINT, message)
    code = (replica.exit or {}).get("code")
    return Verdict(Outcome.RETRY, failures_of(gang), cause, code)
