"""What integration tests share: both databases, the services' collaborators, and the API.

`database_url` runs a test on SQLite and on PostgreSQL. `deps` has a clock that tests move by
hand; `api_client` is an administrator over it.
"""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from control_plane.api.app import build_api
from control_plane.hints.hub import Hub
from control_plane.services.accounts.bootstrap import bootstrap
from control_plane.services.accounts.tokens import ensure_admin
from control_plane.services.deps import Deps
from control_plane.store.database.engine import open_database
from control_plane.store.database.migrate import migrate
from control_plane.store.log_store import LogStore
from control_plane.store.unit_of_work import Store
from scheduler.policies.priority_age import PRIORITY_AGE
from tests.fakes.cloud import Cloud, Clouds, Network
from tests.fakes.lease_clock import CloudClock
from tests.integration.databases import PostgresServer, postgres

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
BASE_URL = "http://127.0.0.1"


@pytest.fixture(scope="session", autouse=True)
def _short_logs() -> None:
    """One line an event: structlog's default draws each traceback with all of its variables."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ]
    )


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with postgres(tmp_path_factory.mktemp("pg")) as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = open_database(f"sqlite:///{path}")
    migrate(database)
    database.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path
) -> Iterator[str]:
    """A migrated database of the test's own."""
    if request.param == "sqlite":
        path = tmp_path / "penstock.db"
        shutil.copyfile(sqlite_template, path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.copy() as url:
        yield url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    database = open_database(database_url)
    yield Store(database)
    database.dispose()


@pytest.fixture
def clock() -> CloudClock:
    return CloudClock(START)


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def deps(store: Store, clock: CloudClock, hub: Hub, tmp_path: Path) -> Deps:
    """With the default project and queue."""
    storage = (tmp_path / "storage").as_uri()
    made = Deps(
        store=store,
        hints=hub,
        clock=clock,
        logs=LogStore(storage),
        storage=storage,
        policy=PRIORITY_AGE,
    )
    clock.bind(store)
    bootstrap(made)
    return made


@pytest.fixture
def admin_secret(deps: Deps) -> str:
    secret = ensure_admin(deps)
    assert secret is not None
    return secret


@pytest.fixture
def api(deps: Deps, hub: Hub) -> FastAPI:
    return build_api(deps, hub)


@pytest.fixture
def api_client(api: FastAPI, admin_secret: str) -> Iterator[TestClient]:
    """An administrator. Faults of the server come back as 500, as they would to anybody."""
    headers = {"Authorization": f"Bearer {admin_secret}"}
    with TestClient(api, BASE_URL, raise_server_exceptions=False, headers=headers) as client:
        yield client


@pytest.fixture
def live_api(api: FastAPI) -> Iterator[str]:
    """The address of the API behind a real server, for what streams."""
    with serving(api) as url:
        yield url


@pytest.fixture(scope="session")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Clouds:
    return Clouds(tmp_path_factory.mktemp("clouds"))


@pytest.fixture(scope="session")
def served_network() -> Iterator[tuple[Network, str]]:
    network = Network()
    with serving(network) as url:
        yield network, url


@pytest.fixture
def cloud(clouds: Clouds, served_network: tuple[Network, str]) -> Iterator[Cloud]:
    """The real application with a node and two tokens, and nothing else; at `cloud_url`."""
    with clouds.one() as made:
        served_network[0].lead_to(made)
        yield made


@pytest.fixture
def network(cloud: Cloud, served_network: tuple[Network, str]) -> Network:
    """What was asked of the cloud; here its answers can be broken."""
    return served_network[0]


@pytest.fixture
def cloud_url(cloud: Cloud, served_network: tuple[Network, str]) -> str:
    return served_network[1]


@contextmanager
def serving(app: FastAPI | Network, port: int = 0) -> Iterator[str]:
    """Runs the application in a thread until the block ends; gives its address."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        config = uvicorn.Config(
            app,
            log_level="critical",
            access_log=False,
            server_header=False,
            lifespan="auto" if isinstance(app, FastAPI) else "off",
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            app.state.streams.close()
            server.should_exit = True
            thread.join(20)
        assert not thread.is_alive(), "streams must not keep the server from stopping"
