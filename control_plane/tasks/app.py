"""The Celery application: three tasks, JSON only, no result backend."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from celery import Celery

from control_plane.deadlines import REDIS_CONNECT_S, REDIS_S
from control_plane.services.deps import Deps
from control_plane.services.usage.retention import forget_old
from control_plane.services.usage.roll_up import roll_up_usage
from control_plane.services.webhooks.deliver import Post, deliver_webhook
from penstock.api.ids import DeliveryId

DELIVER_WEBHOOK: Final = "penstock.deliver_webhook"
ROLL_UP_USAGE: Final = "penstock.roll_up_usage"
FORGET_OLD: Final = "penstock.forget_old"
EMBEDDED_BROKER: Final = "memory://localhost/"  # without a host kombu complains at each start

_IN_MEMORY: Final = {"polling_interval": 0.01}
_REDIS: Final = {"socket_timeout": REDIS_S, "socket_connect_timeout": REDIS_CONNECT_S}
"""Longer than the second after which a blocking read of the queue is answered."""


def build_tasks(deps: Deps, post: Post, redis_url: str | None, retention: timedelta) -> Celery:
    """Tasks bound to their collaborators; on Redis, or in memory with a 10 ms poll.

    Messages are acknowledged early: a lost one is asked for again by whoever sweeps the rows,
    and a late acknowledgement would only have it delivered twice.
    """
    app = Celery("penstock", broker=redis_url or EMBEDDED_BROKER, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_default_queue="penstock",
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_transport_options=_REDIS if redis_url else _IN_MEMORY,
    )

    def deliver_webhook_task(delivery: str) -> None:
        deliver_webhook(deps, post, DeliveryId(delivery))

    def roll_up_usage_task() -> None:
        roll_up_usage(deps)

    def forget_old_task() -> None:
        forget_old(deps, retention)

    # Not shared: else every other application of this process got tasks bound to our deps.
    app.task(name=DELIVER_WEBHOOK, shared=False)(deliver_webhook_task)
    app.task(name=ROLL_UP_USAGE, shared=False)(roll_up_usage_task)
    app.task(name=FORGET_OLD, shared=False)(forget_old_task)
    return app
