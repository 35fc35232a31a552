"""How long a refusal of the storage is borne."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

import pytest

from workloads.storage import StorageFault
from workloads.storage_retry import GIVE_UP_AFTER_S, LONGEST_WAIT_S, Backoff, retry_storage


@dataclass(slots=True)
class _Storage:
    """Takes nothing before a moment; sleeping is what makes time pass."""

    well_at_s: float
    now_s: float = 0.0
    told: list[str] = field(default_factory=list)

    def write(self) -> str:
        if self.now_s < self.well_at_s:
            raise StorageFault(errno.EROFS, "Read-only file system", "/s/a")
        return "written"

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s

    def try_it(self) -> str:
        return retry_storage(
            self.write, "it", self.told.append, sleep=self.sleep, now=lambda: self.now_s
        )


def test_a_fault_that_passes_in_time_is_waited_out() -> None:
    storage = _Storage(well_at_s=10.0)
    assert storage.try_it() == "written"
    assert storage.told[0] == ("it: the storage failed (/s/a: read-only file system); again in 1 s")
    assert storage.now_s == 15.0


def test_a_fault_that_lasts_is_raised_in_time() -> None:
    storage = _Storage(well_at_s=10**6)
    with pytest.raises(StorageFault):
        storage.try_it()
    assert GIVE_UP_AFTER_S / 2 <= storage.now_s <= GIVE_UP_AFTER_S


def test_nothing_is_overdue_before_a_refusal_and_waits_are_bounded() -> None:
    backoff = Backoff()
    assert not backoff.is_due(1e9)
    assert not backoff.is_waiting(1e9)
    waits = [backoff.refused(100.0) for _ in range(2000)]
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(waits) == LONGEST_WAIT_S
    assert not backoff.is_due(129.0)
    assert backoff.is_waiting(129.0)
    assert backoff.is_due(130.0)
