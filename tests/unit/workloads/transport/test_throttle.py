"""Holding transfers to a link's speed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workloads.transport.throttle import LinkPace


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 10**6)), min_size=1, max_size=20))
def test_bytes_are_never_through_faster_than_the_link_allows(
    transfers: list[tuple[float, int]],
) -> None:
    pace, now_s, sent = LinkPace(1e5), 100.0, 0
    for gap_s, num_bytes in transfers:
        now_s += gap_s
        until_s = pace.until_s(now_s, num_bytes)
        sent += num_bytes
        assert until_s >= now_s + num_bytes / 1e5 - 1e-6
        assert until_s >= 100.0 + sent / 1e5 - 1e-6


def test_an_idle_link_saves_nothing_up() -> None:
    pace = LinkPace(1000.0)
    assert pace.until_s(0.0, 500) == 0.5
    assert pace.until_s(10.0, 500) == 10.5


def test_a_chip_without_a_declared_limit_waits_for_nothing() -> None:
    assert LinkPace(None).until_s(7.0, 1e12) == 7.0
