"""Two servers on one PostgreSQL while its schema is expanded: the release before runs on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from control_plane.store.database.engine import open_database
from control_plane.store.database.migrate import migrate
from tests.e2e.processes import free_port
from tests.e2e.rig import QUICK, ROOT, Cloud, a_cloud
from tests.integration.upgrade import revisions
from tests.integration.upgrade.release import unpack

pytestmark = [pytest.mark.integration, pytest.mark.slow]

COLUMN = 'op.add_column("jobs", sa.Column("mood", sa.Text(), nullable=False, server_default=""))'
TABLE = 'op.create_table("moods", sa.Column("id", sa.Integer(), primary_key=True))'


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("release"))


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The migrations of a version that does not exist yet."""
    made = revisions.copied(tmp_path)
    revisions.add(made, COLUMN)
    revisions.add(made, TABLE)
    return made


@pytest.fixture
def cloud(empty_url: str, release: Path) -> Iterator[Cloud]:
    settings = {**QUICK, "PENSTOCK_SERVER_DATABASE_URL": empty_url}
    with a_cloud(settings=settings, tree=release) as made:
        made.add_node("first", "emulated-a100:1", "--no-cpu-chip")
        yield made


@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
def test_servers_of_two_versions_work_side_by_side_on_a_schema_that_only_expanded(
    cloud: Cloud, empty_url: str, newer: Path
) -> None:
    _works(cloud, "before")
    database = open_database(empty_url)
    migrate(database, newer)
    database.dispose()
    _works(cloud, "expanded")
    assert httpx.get(f"{cloud.url}/readyz", timeout=30).status_code == 503  # it cannot know better
    second = replace(cloud, tree=ROOT, port=free_port(), _client=None)
    second.start_server("second", second.port)
    part = httpx.get(f"{second.url}/readyz", timeout=30).json()["parts"]["migrations"]
    assert part["message"].startswith("the schema is newer")
    assert "schema_is_newer" in second.servers["second"].log.read_text(encoding="utf-8")
    for number in range(3):
        _works(cloud, f"first-{number}")
        _works(second, f"second-{number}")
    second.client.close()
    cloud.server.end()
    cloud.tree = ROOT
    cloud.start_server()
    _works(cloud, "after")
    jobs = list(cloud.client.jobs.list())
    assert [(job.state, job.attempt) for job in jobs] == [("succeeded", 1)] * 9


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_the_release_before_itself_refuses_every_newer_schema(
    empty_url: str, release: Path, newer: Path
) -> None:
    database = open_database(empty_url)
    migrate(database, newer)
    database.dispose()
    env = {**os.environ, "PYTHONPATH": str(release), "PENSTOCK_SERVER_DATABASE_URL": empty_url}
    command = [sys.executable, "-m", "control_plane", "migrate", "--home", str(newer.parent)]
    refused = subprocess.run(
        command, env=env, cwd=release, capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode != 0
    assert "Can't locate revision" in refused.stderr


def _works(cloud: Cloud, name: str) -> None:
    """A job that this server accepts runs to its end."""
    cloud.submit(name=name, command=["true"])
    cloud.await_job(name, "succeeded")
