"""Who launches on a node is said as it enrols, and is somebody who answers for what runs there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control_plane.clock import ManualClock
from control_plane.errors import Conflict, Invalid
from control_plane.launchers.fake import FakeLauncher
from control_plane.services.accounts.projects import create_join_token
from control_plane.services.deps import Deps
from control_plane.services.nodes.enrol import enrol_node
from penstock.api.assignments import EnrolRequest
from penstock.api.tokens import JoinTokenRequest
from tests.fakes.cluster import ADMIN, BIG, SERVER, Cluster, a_task, an_inventory

pytestmark = pytest.mark.integration


@pytest.fixture
def cluster(deps: Deps, clock: ManualClock) -> Cluster:
    return Cluster(replace(deps, launchers={"fake": FakeLauncher(clock.now)}), clock)


def test_a_launcher_that_is_not_here_is_refused(cluster: Cluster) -> None:
    with pytest.raises(Invalid, match="this server has no launcher clouds"):
        cluster.node("a", launcher="clouds")


def test_an_agent_that_names_nobody_launches_itself_and_sends_nothing_that_older_servers_refuse(
    cluster: Cluster,
) -> None:
    request = EnrolRequest(name="a", inventory=an_inventory({BIG: 1}))
    assert "launcher" not in request.model_dump_json(exclude_none=True)
    token = create_join_token(cluster.deps, ADMIN, JoinTokenRequest(), SERVER).token
    enrol_node(cluster.deps, request, token)
    assert cluster.node_row("a").launcher == "agent"


def test_a_node_changes_its_launcher_only_once_nothing_is_held_there(cluster: Cluster) -> None:
    agent = cluster.node("a", launcher="fake")
    cluster.submit(a_task("job"))
    cluster.cycle()
    assert len(cluster.leases()) == 1
    agent.online = False
    cluster.clock.advance(1000)
    cluster.sweep()
    token = create_join_token(cluster.deps, ADMIN, JoinTokenRequest(), SERVER).token
    request = EnrolRequest(name="a", inventory=agent.inventory)
    with pytest.raises(Conflict, match="launched on by fake, which still holds chips there"):
        enrol_node(cluster.deps, request, token)
