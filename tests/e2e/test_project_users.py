"""Two projects on a node of root: their jobs have users of their own and reach no secret of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.rig import Cloud, a_cloud

OTHERS_PYTHON = Path("/usr/bin/python3")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="only root gives projects users"
    ),
    pytest.mark.skipif(not OTHERS_PYTHON.exists(), reason=f"there is no {OTHERS_PYTHON}"),
]
SMALL = {"cores": 0.1}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with a_cloud(start=False) as made:
        made.home.chmod(0o711)  # as root's `penstock up` makes it
        made.start_server()
        made.client.projects.create("blue")
        made.client.projects.create("green")
        made.add_node("first", "", "--no-cpu-chip", "--workload-python", str(OTHERS_PYTHON))
        yield made


def submit(cloud: Cloud, name: str, project: str, script: str) -> None:
    cloud.submit(name=name, project=project, command=["sh", "-c", script], resources=SMALL)


def printed(cloud: Cloud, name: str) -> list[str]:
    """What a job printed; it ended well."""
    cloud.await_job(name, "succeeded")
    return cloud.whole_log(name)


def test_a_job_reaches_its_own_project_and_no_other_and_no_secret(cloud: Cloud) -> None:
    submit(cloud, "keeps", "blue", "cd ${PENSTOCK_STORAGE#file://}; echo x > kept; pwd; id -u")
    folder, user = printed(cloud, "keeps")
    state = cloud.nodes["first"].state_dir
    secrets = [
        state / "credential",
        cloud.home / "admin-token",
        cloud.home / "penstock.db",
        cloud.home / "penstock.db-wal",
        *(cloud.home / "logs").iterdir(),
    ]
    assert all(path.stat().st_size for path in secrets)
    spy = (
        f"cat {' '.join(map(str, secrets))} {folder}/kept {state}/replicas/*/* 2>/dev/null | wc -c"
    )
    submit(cloud, "reads", "blue", f"cat {folder}/kept; id -u")
    submit(cloud, "spies", "green", f"id -u; ls {cloud.home} {state} {folder} 2>&1; true")
    submit(cloud, "steals", "green", spy)
    assert printed(cloud, "reads") == ["x", user]
    other, *refused = printed(cloud, "spies")
    assert len({user, other, "0"}) == 3
    assert len(refused) == 3
    assert all("Permission denied" in line for line in refused)
    assert printed(cloud, "steals") == ["0"]
    assert Path(folder).stat().st_uid == int(user)
    (node,) = cloud.client.nodes.list()
    assert node.limits["users"].startswith("one for each project, from")
