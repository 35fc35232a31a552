"""Which replica gets the next request."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from control_plane.gateway.balancer import Balancer
from control_plane.services.endpoints.routes import Route
from penstock.api.ids import EndpointId, ProjectId, ReplicaId


def test_nobody_is_chosen_where_nobody_is() -> None:
    assert Balancer().choose([]) is None
    assert Balancer().choose([_route("a")], tried={"a"}) is None


def test_an_idle_pool_gives_to_the_fastest() -> None:
    assert _chosen(Balancer(), [_route("a", 10), _route("b", 30)]) == "b"


def test_equals_are_taken_in_the_order_of_their_ids() -> None:
    assert _chosen(Balancer(), [_route("b"), _route("a")]) == "a"


def test_requests_are_spread_in_proportion_to_speed() -> None:
    routes = [_route("fast", 30), _route("slow", 10)]
    assert _spread(routes, 40) == {"fast": 30, "slow": 10}


def test_a_replica_of_unknown_speed_counts_as_the_slowest_known() -> None:
    routes = [_route("fast", 30), _route("slow", 10), _route("new")]
    assert _spread(routes, 50) == {"fast": 30, "slow": 10, "new": 10}


@given(st.lists(st.none() | st.floats(0.1, 1000), min_size=1, max_size=6), st.integers(1, 60))
def test_nobody_waits_for_a_replica_while_another_would_finish_it_sooner(
    weights: list[float | None], num_requests: int
) -> None:
    routes = [_route(f"r{number}", weight) for number, weight in enumerate(weights)]
    known = min((weight for weight in weights if weight), default=1.0)
    counts = _spread(routes, num_requests)
    assert sum(counts.values()) == num_requests
    worst = max(counts[it.replica_id] / (it.weight or known) for it in routes)
    best_next = min((counts[it.replica_id] + 1) / (it.weight or known) for it in routes)
    assert worst <= best_next * (1 + 1e-9)


def test_what_has_ended_counts_no_more() -> None:
    balancer, route = Balancer(), _route("a")
    with balancer.request(route), balancer.request(route):
        assert balancer.outstanding(ReplicaId("a")) == 2
    assert balancer.outstanding(ReplicaId("a")) == 0


def _spread(routes: list[Route], num_requests: int) -> Counter[str]:
    """Where so many requests go that all last."""
    balancer, counts = Balancer(), Counter[str]()
    with ExitStack() as under_way:
        for _ in range(num_requests):
            route = balancer.choose(routes)
            assert route is not None
            under_way.enter_context(balancer.request(route))
            counts[route.replica_id] += 1
    return counts


def _chosen(balancer: Balancer, routes: list[Route]) -> str | None:
    route = balancer.choose(routes)
    return route.replica_id if route is not None else None


def _route(replica_id: str, weight: float | None = None) -> Route:
    return Route(
        ProjectId("project_0"),
        EndpointId("endpoint_0"),
        "chat",
        ReplicaId(replica_id),
        "n:1",
        "emulated-a100",
        weight,
    )
