"""What follows from the end of a job: its endpoint closes, its webhook becomes due."""

from __future__ import annotations

from datetime import datetime

from control_plane.ids import new_id
from control_plane.services.gangs.moves import move_endpoint
from control_plane.store.models import Delivery, Job
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import DeliveryId
from penstock.api.messages import say
from penstock.api.states import EndpointState
from penstock.catalogue import render


def end_job(tx: Transaction, job: Job, now: datetime) -> None:
    """Part of the transaction that ends the job, so that nothing is lost in between."""
    endpoint = tx.endpoints.of_job(job.id)
    if endpoint is not None:
        message = say("job_over", job=job.name, state=job.state, message=job.coded_message)
        move_endpoint(tx, endpoint, EndpointState.CLOSED, message, now, job.reason)
    webhook = (job.spec.get("notify") or {}).get("webhook")
    if webhook:
        tx.deliveries.add(_delivery(job, webhook, now))


def _delivery(job: Job, url: str, now: datetime) -> Delivery:
    body = {
        "event": "job.ended", "job": job.id, "name": job.name, "project": job.project,
        "state": job.state, "reason": job.reason, "message": render(job.coded_message),
        **job.coded_message.document, "exit_code": job.exit_code, "ended_at": now.isoformat(),
    }  # fmt: skip
    return Delivery(
        id=new_id(DeliveryId),
        project_id=job.project_id,
        job_id=job.id,
        url=url,
        body=body,
        state="pending",
        num_tries=0,
        next_at=now,
        last_error="",
        created_at=now,
    )
