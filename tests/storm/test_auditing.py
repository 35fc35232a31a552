"""The tester tested: a plan repeats from its seed, and fabricated evidence is found."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from control_plane.store.models import Event, Job, Lease
from tests.storm.__main__ import Progress
from tests.storm.books import ends, gaps, lost, meetings, metered, overlaps
from tests.storm.evidence import (
    SECOND_NS,
    Run,
    Silence,
    doubled,
    outlived,
    past_deadline,
    read_runs,
    shared_chips,
)
from tests.storm.hole import hole, holes
from tests.storm.plan import FAULTS, KINDS, SERVERS, plan_round
from tests.storm.storm import Tally
from tests.storm.strikes import Striker
from tests.storm.submitter import Try, unanswered

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIRST = Run("job_1", "replica_1", 1, 0, "plain", 10 * SECOND_NS, 20 * SECOND_NS, ended=True)
SECOND = Run("job_1", "replica_2", 2, 0, "plain", 21 * SECOND_NS, 30 * SECOND_NS, ended=True)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_plan_is_the_same_for_the_same_seed_and_another_for_another(database: str) -> None:
    plans = [plan_round(seed, 0, KINDS, database, 75.0) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]
    assert len(plans[0]) > 30


@pytest.mark.parametrize("seed", range(5))
def test_one_target_suffers_one_fault_at_a_time(seed: int) -> None:
    plan = plan_round(seed, 3, KINDS, "postgresql", 75.0)
    for target in {it.target for it in plan}:
        ours = [it for it in plan if it.target == target]
        assert all(one.at_s + one.for_s < other.at_s for one, other in pairwise(ours))


def test_every_fault_of_the_table_is_drawn_and_can_be_carried_out() -> None:
    drawn = {
        strike.fault.name
        for seed in range(30)
        for database in SERVERS
        for strike in plan_round(seed, 0, KINDS, database, 75.0)
    }
    assert drawn == {it.name for it in FAULTS}
    assert all(hasattr(Striker, f"_{name}") for name in drawn)


@pytest.mark.skipif(shutil.which("patch") is None, reason="no `patch` on this machine")
@pytest.mark.parametrize("name", sorted(holes()))
def test_every_hole_fits_todays_code(tmp_path: Path, name: str) -> None:
    made = hole(name)
    made.tree(tmp_path)
    assert set(made.head("kinds")) <= set(KINDS)
    assert made.head("databases")


def test_attempts_one_after_the_other_are_no_finding() -> None:
    assert list(doubled([FIRST, SECOND])) == []


def test_two_attempts_at_once_are_doubled() -> None:
    early = replace(SECOND, first_ns=19 * SECOND_NS)
    assert "1.0 s together" in "".join(doubled([FIRST, early]))


def test_a_replica_that_was_started_again_at_its_own_epoch_is_doubled() -> None:
    again = replace(FIRST, first_ns=25 * SECOND_NS, last_ns=26 * SECOND_NS)
    assert "was started 2 times" in "".join(doubled([FIRST, again]))


def test_two_ranks_of_one_attempt_belong_together() -> None:
    assert list(doubled([FIRST, replace(FIRST, replica="replica_3", rank=1)])) == []


def test_more_than_a_whole_chip_in_use_is_found_and_two_halves_are_not() -> None:
    other = replace(FIRST, job="job_2", replica="replica_9")
    halves = {"replica_1": {"chip_1": 500}, "replica_9": {"chip_1": 500}}
    assert list(shared_chips([FIRST, other], halves)) == []
    assert list(shared_chips([FIRST, other], {**halves, "replica_9": {"chip_1": 600}}))


def test_a_process_that_outlives_its_job_is_found() -> None:
    assert list(outlived([FIRST], {"job_1": 19 * SECOND_NS})) == []
    assert list(outlived([FIRST], {"job_1": 15 * SECOND_NS}))


def test_a_replica_that_runs_through_a_lease_of_silence_is_found() -> None:
    run = replace(FIRST, last_ns=50 * SECOND_NS)
    silences = [Silence("a", 11 * SECOND_NS, 60 * SECOND_NS)]
    assert list(past_deadline([run], {"replica_1": "a"}, silences, 30.0))
    assert list(past_deadline([run], {"replica_1": "b"}, silences, 30.0)) == []
    assert list(past_deadline([FIRST], {"replica_1": "a"}, silences, 30.0)) == []


def test_a_well_server_that_answers_nothing_for_long_is_found() -> None:
    tries = [Try("s1", at * SECOND_NS, (at + 5) * SECOND_NS, 503) for at in range(0, 40, 5)]
    assert unanswered(tries, [], ("s1",), 25.0)
    assert not unanswered(tries, [("s1", 0, 39 * SECOND_NS)], ("s1",), 25.0)


def test_runs_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "one.run").write_text("job_1 replica_1 1 0 plain\n10000000000\n20000000000\nend\n")
    (tmp_path / "cut.run").write_text("job_1 replica_2 2 0 plain\n")
    assert read_runs(tmp_path) == [FIRST]


def _job(state: str = "succeeded") -> Job:
    return Job(id="job_1", name="one", state=state)


def _event(seq: int, kind: str = "job.queued") -> Event:
    return Event(object_id="job_1", seq=seq, type=kind)


def _lease(number: int, since_s: float, until_s: float, milli: int = 1000) -> Lease:
    """Of the attempt of that number, counted to its end."""
    since, until = (NOON + timedelta(seconds=it) for it in (since_s, until_s))
    return Lease(
        id=f"lease_{number}",
        job_id="job_1",
        epoch=number,
        granted_at=since,
        ended_at=until,
        rolled_up_to=until,
        chips=[{"chip_id": "chip_1", "type": "x", "milli": milli}],
    )


def test_an_accepted_job_that_is_not_there_is_lost_and_a_key_of_two_jobs_is_found() -> None:
    assert not list(lost([_job()], [("key", "job_1")]))
    assert list(lost([], [("key", "job_1")]))
    assert list(lost([_job(), _job()], []))


def test_a_job_that_ended_twice_or_never_by_its_events_is_found() -> None:
    end = _event(2, "job.succeeded")
    assert not list(ends([_job()], [_event(1), end]))
    assert list(ends([_job()], [_event(1)]))
    assert list(ends([_job()], [end, _event(3, "job.failed")]))


def test_an_event_that_is_missing_is_found_at_the_beginning_too() -> None:
    assert not list(gaps([_event(1), _event(2)]))
    assert list(gaps([_event(1), _event(3)]))
    assert list(gaps([_event(2), _event(3)]))


def test_leases_of_a_chip_that_overlap_are_found_and_those_that_meet_are_not() -> None:
    assert not list(overlaps([_lease(1, 0, 10), _lease(2, 10, 20)]))
    assert not list(overlaps([_lease(1, 0, 10, milli=500), _lease(2, 5, 20, milli=500)]))
    assert list(overlaps([_lease(1, 0, 10), _lease(2, 9.9, 20)]))


def test_an_attempt_that_begins_before_the_one_before_it_has_ended_is_found() -> None:
    assert not list(meetings([_lease(1, 0, 10), _lease(2, 10, 20)]))
    assert list(meetings([_lease(1, 0, 10), _lease(2, 9.9, 20)]))


def test_chip_seconds_that_differ_from_the_leases_are_found() -> None:
    leases = [_lease(1, 0, 10), _lease(2, 10, 14, milli=500)]
    assert not list(metered(leases, [("job_1", "x", 12.0)]))
    assert list(metered(leases, [("job_1", "x", 12.1)]))
    assert list(metered(leases, []))
    assert list(metered([], [("job_1", "x", 1.0)]))


def test_progress_goes_on_where_it_was_left_and_begins_anew_once_over(tmp_path: Path) -> None:
    path, names = tmp_path / "progress.json", ["sqlite:1", "sqlite:2"]
    asked: dict[str, object] = {"seeds": [1, 2]}
    one = Tally(1, 5, Counter(kill_server=3), Counter(kill_job=1))
    Progress.read(path, asked, 6, names).add("sqlite:1", one)
    left = Progress.read(path, asked, 6, names)
    assert left.of("sqlite:1") == one
    assert not left.is_over("sqlite:1")
    left.add("sqlite:1", one)
    assert left.is_over("sqlite:1")
    assert not left.is_over("sqlite:2")
    assert Progress.read(path, {"seeds": [1]}, 6, names).of("sqlite:1") == Tally()
    left.end()
    assert Progress.read(path, asked, 6, names).of("sqlite:1") == Tally()


def test_findings_are_counted_by_what_they_say() -> None:
    found = Tally(findings=["sqlite seed 1 round 0: lost: job_1 is queued", "x: metered: lost 3"])
    assert (found.num_found("lost"), found.num_found("doubled")) == (1, 0)
