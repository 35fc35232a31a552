"""One time for all processes: the database's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.clock import SharedClock
from control_plane.store.unit_of_work import Store
from tests.fakes.waiting import until

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class World:
    """A database's time and a machine's monotonic clock, moved by hand."""

    def __init__(self) -> None:
        self.told: datetime | None = NOON
        self.monotonic_s = 1000.0
        self.num_asked = 0

    def read(self) -> datetime | None:
        self.num_asked += 1
        return self.told

    def clock(self) -> SharedClock:
        return SharedClock(self.read, lambda: self.monotonic_s, every_s=60.0)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_it_is_the_servers_own_time(store: Store) -> None:
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER ROLE CURRENT_USER SET timezone = 'Asia/Tokyo'")
    store.database.dispose()
    now = SharedClock(store.database.time).now()
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER ROLE CURRENT_USER RESET timezone")
    assert now.tzinfo is UTC
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)


def test_it_runs_on_without_asking() -> None:
    world = World()
    clock = world.clock()
    world.monotonic_s += 59
    assert clock.now() == NOON + timedelta(seconds=59)
    assert world.num_asked == 1


def test_it_is_set_anew_when_its_machine_drifts() -> None:
    world = World()
    clock = world.clock()
    world.monotonic_s, world.told = world.monotonic_s + 61, NOON + timedelta(seconds=60)
    clock.now()
    until(lambda: clock.now() == NOON + timedelta(seconds=60))
    assert world.num_asked == 2


def test_it_runs_on_while_the_database_is_away() -> None:
    world = World()
    clock = world.clock()
    world.monotonic_s, world.told = world.monotonic_s + 600, None
    assert clock.now() == NOON + timedelta(seconds=600)
    until(lambda: world.num_asked > 1)
    assert clock.now() == NOON + timedelta(seconds=600)


def test_it_does_not_begin_with_a_guess() -> None:
    world = World()
    world.told = None
    with pytest.raises(ConnectionError):
        world.clock()
