"""Schemathesis over the whole OpenAPI, against a real server: no 5xx, nothing undocumented.

What is valid by the schema may still be refused: names must exist, cursors must be ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from starlette.testclient import TestClient

from control_plane.api.app import build_api
from control_plane.clock import SystemClock
from control_plane.hints.hub import Hub
from control_plane.services.accounts.bootstrap import bootstrap
from control_plane.services.accounts.tokens import ensure_admin
from control_plane.services.deps import Deps, Rules
from control_plane.store.database.engine import open_database
from control_plane.store.database.migrate import migrate
from control_plane.store.log_store import LogStore
from control_plane.store.unit_of_work import Store
from scheduler.policies.priority_age import PRIORITY_AGE
from tests.fakes.leading import lead
from tests.integration.api.world import chip, headers, join, place, submit
from tests.integration.conftest import BASE_URL, serving

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CONFIG: dict[str, Any] = {
    "generation": {"max-examples": 4, "deterministic": True, "database": "none"},
    # A number in quotes is taken for the number, so not all that breaks the schema is refused.
    "checks": {
        "positive_data_acceptance": {"enabled": False},
        "negative_data_rejection": {"enabled": False},
    },
}


@dataclass(frozen=True)
class Live:
    """A server with a little of everything in it, and who may call it."""

    url: str
    admin: str
    node: str


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("api")
    database = open_database(f"sqlite:///{folder}/penstock.db")
    migrate(database)
    hub = Hub()
    deps = Deps(
        store=Store(database),
        hints=hub,
        clock=SystemClock(),
        logs=LogStore(folder.as_uri()),
        storage=folder.as_uri(),
        policy=PRIORITY_AGE,
        rules=Rules(leader_term_s=3600),  # who leads here never renews
    )
    bootstrap(deps)
    admin = ensure_admin(deps)
    assert admin is not None
    lead(deps)
    app = build_api(deps, hub)
    with TestClient(app, BASE_URL, headers=headers(admin)) as client:
        node = _fill(client, deps)
    with serving(app) as url:
        yield Live(url, admin, node)
    database.dispose()


def _fill(client: TestClient, deps: Deps) -> str:
    agent = join(client, "a", chip("c0"))
    held = client.get("/api/v1/chips").json()["items"][0]["id"]
    (replica,) = place(deps, submit(client, name="job")["id"], agent, held)
    agent.log(replica, 0, "hello\n")
    return agent.secret


@pytest.mark.parametrize("who", ["people", "agents"])
def test_the_api_keeps_its_contract(live: Live, who: str) -> None:
    secret = live.node if who == "agents" else live.admin
    config = schemathesis.Config.from_dict({**CONFIG, "headers": headers(secret)})
    schema = schemathesis.openapi.from_url(f"{live.url}/openapi.json", config=config)
    chosen = schema.include(tag="agents") if who == "agents" else schema.exclude(tag="agents")
    num_scenarios, failures = 0, []
    for happened in from_schema(chosen).execute():
        if isinstance(happened, events.ScenarioFinished):
            num_scenarios += 1
            failures += list(_failures(happened.recorder))
        assert not isinstance(happened, events.NonFatalError | events.FatalError), happened
    assert num_scenarios > 10
    assert not failures, "\n\n".join(failures)


def _failures(recorder: ScenarioRecorder) -> Iterator[str]:
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is None:
                continue
            case = recorder.cases[case_id].value
            failure = check.failure_info.failure
            yield (
                f"{check.name}: {failure.title}: {failure.message}\n{case.method} {case.path} "
                f"{case.path_parameters} {case.query} {case.headers} {str(case.body)[:500]}"
            )
