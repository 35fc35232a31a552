"""Which start of an agent may speak for a node, whatever its state folder went through."""

from __future__ import annotations

import pytest

from control_plane.domain.incarnation import Claim, Hold, Obstacle, obstacle, takeover_obstacle

RUNS = Hold(("replica_1", 1), started=True)
ASSIGNED = Hold(("replica_2", 1), started=False)


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("holds", [(), (RUNS,), (RUNS, ASSIGNED)])
@pytest.mark.parametrize("claim", [Claim("a"), Claim("b", frozenset({"0", "a"}))])
def test_a_restart_and_a_repeated_request_go_on_at_once(
    claim: Claim, holds: tuple[Hold, ...], heard: bool
) -> None:
    assert obstacle(claim, "a", holds, heard=heard) is None


@pytest.mark.parametrize(
    "heard,holds,waits",
    [
        (True, (), Obstacle.HEARD),
        (True, (RUNS,), Obstacle.HEARD),
        (False, (RUNS,), Obstacle.HELD),
        (False, (ASSIGNED,), Obstacle.HELD),
        (False, (), None),
    ],
)
def test_everybody_else_waits_until_nothing_of_the_node_can_run(
    heard: bool, holds: tuple[Hold, ...], waits: Obstacle | None
) -> None:
    """A copied or restored folder, a boot, a clone, whatever other runs it has in its folder."""
    for claim in (Claim("b"), Claim("b", frozenset({"x"}), frozenset({("replica_1", 2)}))):
        assert obstacle(claim, "a", holds, heard=heard) is waits
    assert takeover_obstacle(holds, heard=heard) is waits


def test_live_supervisors_prove_a_folder_that_lost_its_place_once_nobody_else_is_heard() -> None:
    """A system without a boot id, a file system that was mounted anew."""
    claim = Claim("b", proven=frozenset({RUNS.run}))
    assert obstacle(claim, "a", (RUNS,), heard=True) is Obstacle.HEARD
    assert obstacle(claim, "a", (RUNS,), heard=False) is None
    assert obstacle(claim, "a", (RUNS, ASSIGNED), heard=False) is Obstacle.HELD


@pytest.mark.parametrize(
    "proven,holds,waits",
    [
        (set(), (), None),
        (set(), (ASSIGNED,), None),
        (set(), (RUNS,), Obstacle.HELD),
        ({("replica_1", 2)}, (RUNS,), Obstacle.HELD),
        ({RUNS.run}, (RUNS, ASSIGNED), None),
    ],
)
def test_the_successor_of_an_older_agent_is_known_by_the_supervisors_in_its_folder(
    proven: set[tuple[str, int]], holds: tuple[Hold, ...], waits: Obstacle | None
) -> None:
    claim = Claim("b", proven=frozenset(proven))
    assert obstacle(claim, None, holds, heard=True) is waits
