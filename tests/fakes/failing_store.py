"""A store whose process dies right after its n-th commit, before anybody is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from control_plane.store.database.engine import Database
from control_plane.store.unit_of_work import Store, Transaction

ResultT = TypeVar("ResultT")


class Crash(BaseException):
    """The process is gone. Nothing may catch it: a dead process handles no errors."""


class FailingStore(Store):
    """Dies once, after commit number `dies_at` (from 1). Death before a commit needs no case of
    its own: it leaves what death after the commit before it left.
    """

    def __init__(self, database: Database, dies_at: int | None = None) -> None:
        super().__init__(database)
        self.dies_at = dies_at
        self.num_commits = 0

    @contextmanager
    def write(self, serial: bool = True) -> Iterator[Transaction]:
        with super().write(serial) as tx:
            yield tx
        self._committed()

    def _once(
        self, work: Callable[[Transaction], ResultT], serial: bool
    ) -> tuple[ResultT, set[str]]:
        done = super()._once(work, serial)
        self._committed()
        return done

    def _committed(self) -> None:
        self.num_commits += 1
        if self.num_commits == self.dies_at:
            raise Crash
