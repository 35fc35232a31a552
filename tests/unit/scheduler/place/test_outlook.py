"""Short cuts before a search never say anything else than the search would."""

from __future__ import annotations

from hypothesis import given, settings

from scheduler.model import Snapshot
from scheduler.place.feasibility import eligible
from scheduler.place.gang import Supply, could_start, empty_supply, seat_gang
from scheduler.place.outlook import Outlook
from scheduler.quota import no_limits
from scheduler.snapshot.columns import columns_of
from tests.builders import a_job, a_pool
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
