"""The guides that add to the API, followed in a copy of the source which then serves a cloud."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.e2e.rig import Cloud, a_cloud
from tests.guides import follow


@contextmanager
def a_cloud_after(guide: str, folder: Path) -> Iterator[Cloud]:
    with a_cloud(tree=follow(guide, folder / "tree").root) as cloud:
        yield cloud


def test_a_use_case_added_by_its_guide_is_a_route_and_a_command(tmp_path: Path) -> None:
    with a_cloud_after("add-a-use-case.md", tmp_path) as cloud:
        cloud.submit(name="waits", command=["true"], resources={"chips": 1})
        done = cloud.cli("job", "label", "waits", "team=blue", "cost=7")
        assert (done.returncode, done.stderr) == (0, "")
        assert cloud.client.jobs.get("waits").labels == {"team": "blue", "cost": "7"}
        assert cloud.cli("job", "label", "nobody", "a=b").returncode == 3
        assert "label" in cloud.cli("job", "--help").stdout


def test_a_noun_added_by_its_guide_is_kept_listed_and_refused_to_the_wrong(tmp_path: Path) -> None:
    with a_cloud_after("add-a-noun.md", tmp_path) as cloud:
        assert cloud.cli("notice", "set", "maintenance", "on Friday").returncode == 0
        assert cloud.cli("notice", "set", "maintenance", "on Sunday").returncode == 0
        cloud.server.kill()
        cloud.start_server()
        listed = cloud.cli("notice", "list")
        assert listed.returncode == 0
        assert "maintenance" in listed.stdout
        assert "on Sunday" in listed.stdout
        with httpx.Client(base_url=cloud.url, timeout=10) as stranger:
            assert stranger.get("/api/v1/notices").status_code == 401
        assert cloud.cli("notice", "set", "maintenance", "").returncode == 2
