"""Who waits to write at the same time shares one commit, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Connection, event

from control_plane.ids import new_id
from control_plane.store.models import Project
from control_plane.store.unit_of_work import LostRace, Store, Transaction
from penstock.api.ids import ProjectId
from tests.e2e.processes import eventually


@dataclass(eq=False)
class Commits:
    """How many there were. `fails` is what the next one does instead."""

    num: int = 0
    fails: Exception | None = None

    def __call__(self, connection: Connection) -> None:
        if self.fails is not None:
            raise self.fails
        self.num += 1


@dataclass(slots=True)
class Writers:
    """One that writes, and those who come meanwhile."""

    store: Store
    pool: ThreadPoolExecutor
    asked: list[Future[Any]] = field(default_factory=list)

    @contextmanager
    def while_one_writes(self, **names: type[BaseException] | None) -> Iterator[None]:
        """Those of `names` ask for a project each during the block, and raise what is given."""
        begun, going_on = Event(), Event()

        def first(tx: Transaction) -> str:
            begun.set()
            assert going_on.wait(20)
            return "first"

        self.asked.append(self.pool.submit(self.store.run, first))
        assert begun.wait(20)
        self.asked += [self.pool.submit(self._make, name, error) for name, error in names.items()]
        eventually(lambda: self.store.database.writers.num_waiting == len(names), "they wait", 20)
        try:
            yield
        finally:
            going_on.set()

    def projects(self) -> set[str]:
        with self.store.read() as tx:
            return {it.name for it in tx.projects.page(100, None).rows} - {"default"}

    def _make(self, name: str, error: type[BaseException] | None) -> str:
        def work(tx: Transaction) -> str:
            now = datetime.now(UTC)
            tx.projects.add(Project(id=new_id(ProjectId), name=name, created_at=now))
            if error is not None:
                raise error(name)
            return name

        return self.store.run(work)[0]


@pytest.fixture
def writers(store: Store) -> Iterator[Writers]:
    with ThreadPoolExecutor(12) as pool:
        yield Writers(store, pool)


@pytest.fixture
def commits(store: Store) -> Iterator[Commits]:
    seen = Commits()
    event.listen(store.database.engine, "commit", seen)
    yield seen
    event.remove(store.database.engine, "commit", seen)


def test_those_who_wait_share_one_commit(writers: Writers, commits: Commits) -> None:
    names = [f"p{number}" for number in range(8)]
    with writers.while_one_writes(**dict.fromkeys(names)):
        pass
    assert [it.result(20) for it in writers.asked[1:]] == names
    assert commits.num <= 2, "the first one alone, if it took long, and all others"
    assert writers.projects() == set(names)


def test_one_that_fails_takes_nobody_with_it(writers: Writers) -> None:
    with writers.while_one_writes(one=None, two=ValueError, three=None):
        pass
    assert [str(it.exception(20)) for it in writers.asked] == ["None", "None", "two", "None"]
    assert writers.projects() == {"one", "three"}


def test_who_lost_a_race_tries_again_alone(writers: Writers) -> None:
    with writers.while_one_writes(one=None, two=LostRace):
        pass
    assert isinstance(writers.asked[2].exception(20), LostRace), "after its last try"
    assert writers.asked[1].result(20) == "one"
    assert writers.projects() == {"one"}


class _Gone(BaseException):
    """What ends a thread, whoever's work it was doing."""


def test_who_is_not_committed_because_of_another_is_told(writers: Writers) -> None:
    with writers.while_one_writes(one=None, two=_Gone, three=None):
        pass
    names = ("first", "one", "two", "three")
    told = {
        name
        for name, asked in zip(names, writers.asked, strict=True)
        if asked.exception(20) is not None
    }
    assert "two" in told
    assert told | {"first", *writers.projects()} == set(names)
    assert not told & writers.projects()


def test_without_a_commit_nobody_is_told_of_one(writers: Writers, commits: Commits) -> None:
    with writers.while_one_writes(one=None, two=None):
        commits.fails = OSError("the disk is gone")
    assert [type(it.exception(20)) for it in writers.asked] == [OSError] * 3
    commits.fails = None
    assert writers.projects() == set()
