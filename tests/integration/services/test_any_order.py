"""Everything in any order: the state machine of `machine.py` on both databases.

`--hypothesis-profile=explore` plays thousands of clouds instead of some.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from control_plane.hints.hub import Hub
from control_plane.services.accounts.bootstrap import bootstrap
from control_plane.services.deps import Deps
from control_plane.store.log_store import LogStore
from control_plane.store.models import Base
from control_plane.store.unit_of_work import Store
from scheduler.policies.priority_age import PRIORITY_AGE
from tests.fakes.cluster import Cluster
from tests.fakes.lease_clock import CloudClock
from tests.integration.conftest import START
from tests.integration.services.machine import CloudMachine

EXPLORES = settings.default is not None and settings.default.max_examples >= 1000
NUM_CLOUDS = {"sqlite": 1000 if EXPLORES else 30, "postgresql": 200 if EXPLORES else 8}
NUM_STEPS = 60 if EXPLORES else 35


@pytest.mark.timeout(900)
def test_whatever_happens_in_whatever_order_every_promise_holds(
    store: Store, tmp_path: Path
) -> None:
    database = store.database

    def make() -> Cluster:
        with database.engine.begin() as connection:
            for table in Base.metadata.sorted_tables:
                connection.execute(table.delete())
        clock, storage = CloudClock(START), (tmp_path / "storage").as_uri()
        deps = Deps(
            store=Store(database),
            hints=Hub(),
            clock=clock,
            logs=LogStore(storage),
            storage=storage,
            policy=PRIORITY_AGE,
        )
        clock.bind(deps.store)
        bootstrap(deps)
        return Cluster(deps, clock)

    machine = type("Machine", (CloudMachine,), {"make": staticmethod(make)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=NUM_CLOUDS[database.engine.dialect.name],
            stateful_step_count=NUM_STEPS,
            suppress_health_check=list(HealthCheck),
        ),
    )
