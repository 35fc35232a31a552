"""Short cuts before a search never say anything else than the search would."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from scheduler.model import Snapshot
from scheduler.place.feasibility import eligible
from scheduler.place.gang import Supply, could_start, empty_supply, seat_gang
from scheduler.place.outlook import Outlook
from scheduler.quota import no_limits
from scheduler.snapshot.columns import columns_of
from tests.builders import GIB, JobBuilder, PoolBuilder, a_job, a_pool
from tests.unit.scheduler.pools import snapshots


@given(snapshot=snapshots())
@settings(max_examples=60)
def test_what_fits_is_never_ruled_out(snapshot: Snapshot) -> None:
    columns = columns_of(snapshot)
    supply = Supply(columns.now, no_limits(), snapshot.speeds)
    for gang in snapshot.queued:
        places = eligible(gang, columns.layout)
        if seat_gang(gang, supply) is not None:
            assert not Outlook(columns.now).rules_out(gang, places)
            assert not Outlook(columns.now).rules_out(gang, places, with_host=False)


@given(snapshot=snapshots())
@settings(max_examples=60)
def test_what_could_start_is_what_has_seats_in_an_empty_pool(snapshot: Snapshot) -> None:
    empty = empty_supply(columns_of(snapshot).layout, snapshot.speeds)
    for gang in snapshot.queued:
        assert could_start(gang, empty) == (seat_gang(gang, empty) is not None)


def test_a_full_pool_is_ruled_out_by_chips_and_by_hosts() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2, cores=8).running("one", 1, "nvidia-h200")
    columns = columns_of(pool.snapshot)
    outlook = Outlook(columns.now)
    for job, ruled_out in (
        (a_job().asking(1), False),
        (a_job().asking(2), True),
        (a_job().training(2), True),
        (a_job().asking(1, cores_milli=9000), True),
        (a_job().asking(0, cores_milli=9000), True),
    ):
        assert outlook.rules_out(job.gang, eligible(job.gang, columns.layout)) is ruled_out


def _rules_out(pool: PoolBuilder, job: JobBuilder) -> bool:
    columns = columns_of(pool.snapshot)
    return Outlook(columns.now).rules_out(job.gang, eligible(job.gang, columns.layout))


@pytest.mark.parametrize("chips", [0, 1])
def test_a_host_that_has_exactly_what_is_asked_for_is_not_ruled_out(chips: int) -> None:
    pool = a_pool().node("a", "nvidia-h200", 1, cores=2, memory=GIB)
    asked: dict[str, Any] = {"cores_milli": 2000, "host_memory_bytes": GIB}
    assert not _rules_out(pool, a_job().asking(chips, **asked))
    for name, amount in asked.items():
        assert _rules_out(pool, a_job().asking(chips, **{**asked, name: amount + 1}))


def test_a_host_without_memory_or_cores_rules_out_only_those_who_want_some() -> None:
    for pool, name, other in (
        (a_pool().node("a", "nvidia-h200", 1, memory=0), "host_memory_bytes", "cores_milli"),
        (a_pool().node("a", "nvidia-h200", 1, cores=0), "cores_milli", "host_memory_bytes"),
    ):
        for chips in (0, 1):
            hosts: list[dict[str, Any]] = [{other: 0, name: it} for it in (0, 1)]
            none_and_some = [a_job().asking(chips, **it) for it in hosts]
            assert [_rules_out(pool, it) for it in none_and_some] == [False, True]


def test_chips_of_two_nodes_are_not_together() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1).node("b", "nvidia-h200", 1)
    assert _rules_out(pool, a_job().asking(2))
    assert not _rules_out(pool, a_job().gang_of(2))


def test_neither_left_over_chips_nor_parts_of_them_make_a_member() -> None:
    pool = a_pool().node("a", "nvidia-h200", 3).node("b", "ascend-910b", 3)
    assert [_rules_out(pool, a_job().gang_of(n, 2).mixed()) for n in (2, 3)] == [False, True]
    parts = a_pool().node("a", "nvidia-h200", 3).running("half", 2, "nvidia-h200", milli=500)
    assert [_rules_out(parts, a_job().gang_of(n)) for n in (1, 2)] == [False, True]


def test_a_type_that_is_ruled_out_does_not_rule_out_the_next() -> None:
    full = a_pool().node("a", "ascend-910b", 1).running("one", 1, "ascend-910b")
    small = a_pool().node("a", "ascend-910b", 1, cores=1)
    for pool in (full, small):
        job = a_job().asking(1, cores_milli=4000)
        assert _rules_out(pool, job)
        assert not _rules_out(pool.node("b", "nvidia-h200", 1), job)
