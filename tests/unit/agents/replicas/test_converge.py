"""What an agent decides to do, whatever order lists arrive in and whatever is here."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agents.replicas.converge import (
    Action,
    Adopt,
    Circumstances,
    Decline,
    Forget,
    Local,
    Start,
    Stop,
    Wait,
    chips_of,
    converge,
    newest,
)
from penstock.api.assignments import Assignment, AssignmentList
from penstock.api.ids import ReplicaId
from penstock.api.states import ExitReason, ReplicaState
from tests.fakes.agent_parts import a_chip, a_list, an_assignment

FOREVER = 10**18
RUNNING = Local(ReplicaId("replica_1"), 1, ReplicaState.RUNNING)


def decide(
    desired: AssignmentList, *local: Local, lease_ns: int = FOREVER, **circumstances: frozenset[str]
) -> tuple[Action, ...]:
    deadlines = {it.replica_id: lease_ns for it in desired.assignments}
    return converge(desired, local, Circumstances(1000, deadlines, **circumstances))


def test_what_is_wanted_and_not_here_is_started() -> None:
    wanted = an_assignment()
    assert decide(a_list(1, wanted)) == (Start(wanted),)


def test_what_is_here_and_wanted_is_left_alone() -> None:
    assert decide(a_list(1, an_assignment()), RUNNING) == ()


def test_what_is_no_longer_listed_is_stopped_at_once() -> None:
    (stop,) = decide(a_list(2), RUNNING)
    assert isinstance(stop, Stop)
    assert (stop.replica_id, stop.grace_s) == ("replica_1", 2.0)


def test_an_order_to_stop_carries_its_reason_and_grace() -> None:
    wanted = an_assignment(desired="stop", stop_reason="timeout", stop_grace_s=7.0)
    (stop,) = decide(a_list(2, wanted), RUNNING)
    assert isinstance(stop, Stop)
    assert (stop.reason, stop.grace_s) == (ExitReason.TIMEOUT, 7.0)


def test_a_replica_that_is_stopping_is_not_told_again() -> None:
    stopping = replace(RUNNING, state=ReplicaState.STOPPING)
    assert decide(a_list(2, an_assignment(desired="stop")), stopping) == ()
    assert decide(a_list(2), stopping) == ()


def test_another_epoch_of_the_same_replica_is_never_run_beside_it() -> None:
    actions = decide(a_list(2, an_assignment(epoch=2)), RUNNING)
    assert [type(it) for it in actions] == [Stop]


def test_an_ended_replica_is_never_run_again() -> None:
    ended = replace(RUNNING, state=ReplicaState.EXITED)
    assert decide(a_list(1, an_assignment()), ended) == ()
    assert decide(a_list(1, an_assignment()), finished=frozenset({"replica_1"})) == ()


def test_an_ended_replica_is_forgotten_once_nothing_is_left_to_tell() -> None:
    ended = replace(RUNNING, state=ReplicaState.EXITED, settled=True)
    assert decide(a_list(1, an_assignment()), ended) == (Forget(ReplicaId("replica_1")),)


def test_a_stop_for_what_never_started_is_answered() -> None:
    wanted = an_assignment(desired="stop")
    assert decide(a_list(1, wanted)) == (Decline(wanted),)


def test_ranks_above_zero_wait_for_the_master() -> None:
    rank_1 = an_assignment(rank=1, world_size=2)
    assert decide(a_list(1, rank_1)) == (Wait(rank_1, "it waits for the address of rank 0"),)
    known = an_assignment(rank=1, world_size=2, master="127.0.0.1:20001")
    assert [type(it) for it in decide(a_list(1, known))] == [Start]


def test_nothing_starts_on_a_chip_that_another_replica_still_holds() -> None:
    wanted = an_assignment("replica_2", chips=(a_chip(0),))
    holder = replace(RUNNING, chips=(("chip_0", 1000),), state=ReplicaState.STOPPING)
    stop, wait = decide(a_list(2, wanted), replace(holder, state=ReplicaState.RUNNING))
    assert isinstance(stop, Stop)
    assert wait == Wait(wanted, "chip chip_0 is still held by another replica")
    gone = replace(holder, state=ReplicaState.EXITED)
    assert [type(it) for it in decide(a_list(2, wanted), gone)] == [Start]


def test_fractions_share_a_chip_up_to_the_whole() -> None:
    parts = [an_assignment(f"replica_{n}", chips=(a_chip(0, 400),)) for n in range(3)]
    assert [type(it) for it in decide(a_list(1, *parts))] == [Start, Start, Wait]


def test_nothing_starts_on_a_chip_that_a_strangers_process_uses() -> None:
    wanted = an_assignment(chips=(a_chip(0),))
    (wait,) = decide(a_list(1, wanted), foreign=frozenset({"chip_0"}))
    assert isinstance(wait, Wait)
    assert "not a replica's" in wait.why


def test_nothing_starts_without_a_lease_that_lasts() -> None:
    assert [type(it) for it in decide(a_list(1, an_assignment()), lease_ns=999)] == [Wait]
    bare = converge(a_list(1, an_assignment()), (), Circumstances(now_ns=0))
    assert [type(it) for it in bare] == [Wait]


def test_a_replica_of_an_earlier_run_is_adopted_if_still_wanted() -> None:
    kept = replace(RUNNING, adopted=False)
    assert decide(a_list(1, an_assignment()), kept) == (Adopt(ReplicaId("replica_1")),)
    assert [type(it) for it in decide(a_list(1), kept)] == [Stop]


def test_a_late_list_never_takes_the_place_of_a_newer_one() -> None:
    new, old = a_list(7), a_list(6, an_assignment())
    assert newest(new, old) is new
    assert newest(old, new) is new
    assert newest(None, old) is old


assignments = st.builds(
    lambda number, stop, rank, milli, chip, epoch: an_assignment(
        f"replica_{number}",
        desired="stop" if stop else "run",
        rank=rank,
        world_size=2,
        epoch=epoch,
        chips=(a_chip(chip, milli),),
    ),
    st.integers(0, 4),
    st.booleans(),
    st.integers(0, 1),
    st.sampled_from((200, 500, 1000)),
    st.integers(0, 1),
    st.integers(1, 2),
)
lists = st.builds(
    lambda generation, items: a_list(generation, *{it.replica_id: it for it in items}.values()),
    st.integers(1, 6),
    st.lists(assignments, max_size=5),
)


class World:
    """Carries actions out at once, and counts starts."""

    def __init__(self) -> None:
        self.local: dict[str, Local] = {}
        self.finished: frozenset[str] = frozenset()
        self.starts: list[str] = []
        self.current: AssignmentList | None = None

    def receive(self, received: AssignmentList) -> tuple[Action, ...]:
        self.current = newest(self.current, received)
        deadlines = {it.replica_id: FOREVER for it in self.current.assignments}
        circumstances = Circumstances(1000, deadlines, self.finished)
        actions = converge(self.current, list(self.local.values()), circumstances)
        for action in actions:
            self._do(action)
        return actions

    def end(self, replica_id: str) -> None:
        here = self.local.get(replica_id)
        if here is not None:
            self.local[replica_id] = replace(here, state=ReplicaState.EXITED, settled=True)

    def _do(self, action: Action) -> None:
        match action:
            case Start(assignment):
                self.starts.append(assignment.replica_id)
                self._add(assignment, ReplicaState.RUNNING)
            case Decline(assignment):
                self._add(assignment, ReplicaState.EXITED)
            case Stop(replica_id):
                self.local[replica_id] = replace(
                    self.local[replica_id], state=ReplicaState.STOPPING
                )
            case Forget(replica_id):
                del self.local[replica_id]
                self.finished |= {replica_id}
            case Adopt() | Wait():
                pass

    def _add(self, it: Assignment, state: ReplicaState) -> None:
        self.local[it.replica_id] = Local(it.replica_id, it.epoch, state, chips_of(it))


events = st.one_of(lists, st.integers(0, 4).map(lambda number: f"replica_{number}"))


@given(st.lists(events, max_size=12))
def test_whatever_arrives_no_replica_runs_twice_and_no_chip_is_overcommitted(
    history: list[AssignmentList | str],
) -> None:
    world = World()
    for event in history:
        if isinstance(event, str):
            world.end(event)
        else:
            world.receive(event)
        held: dict[str, int] = {}
        for local in world.local.values():
            for chip, milli in local.chips if local.live else ():
                held[chip] = held.get(chip, 0) + milli
        assert all(milli <= 1000 for milli in held.values())
    assert len(world.starts) == len(set(world.starts))


@given(lists, st.lists(lists, max_size=4))
def test_repeated_and_late_lists_change_nothing(
    current: AssignmentList, late: list[AssignmentList]
) -> None:
    world = World()
    world.receive(current)
    world.receive(current)  # what the first pass ended may let something start
    for old in [current, *(it for it in late if it.generation < current.generation)]:
        assert all(isinstance(action, Wait) for action in world.receive(old))


@given(lists, st.lists(lists, max_size=3))
def test_the_same_input_gives_the_same_decision(
    current: AssignmentList, before: list[AssignmentList]
) -> None:
    first, second = World(), World()
    for it in [*before, current]:
        assert first.receive(it) == second.receive(it)
