"""A second worker, as a process of its own: a Celery worker shares state over its whole process.

`python -m tests.integration.tasks.worker_process DATABASE REDIS NOW`: works until its
input ends, then prints how many deliveries it made.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from control_plane.clock import ManualClock
from control_plane.hints.hub import Hub
from control_plane.services.deps import Deps
from control_plane.store.database.engine import open_database
from control_plane.store.log_store import LogStore
from control_plane.store.unit_of_work import Store
from control_plane.tasks.app import build_tasks
from control_plane.tasks.webhook_client import WebhookClient
from control_plane.tasks.worker import EmbeddedWorker
from scheduler.policies.priority_age import PRIORITY_AGE


def main(database_url: str, redis_url: str, now: str) -> None:
    posted = 0
    client = WebhookClient(allow_private=True)

    def post(url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
        nonlocal posted
        posted += 1
        return client(url, body, headers)

    app = build_tasks(_deps(database_url, now), post, redis_url, timedelta(days=30))
    worker = EmbeddedWorker(app)
    worker.start()
    sys.stdin.read()
    worker.stop()
    print(posted, flush=True)


def _deps(database_url: str, now: str) -> Deps:
    hub = Hub()
    storage = Path(tempfile.gettempdir()).as_uri()
    return Deps(
        store=Store(open_database(database_url)),
        hints=hub,
        clock=ManualClock(datetime.fromisoformat(now).astimezone(UTC)),
        logs=LogStore(storage),
        storage=storage,
        policy=PRIORITY_AGE,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
