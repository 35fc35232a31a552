"""From lists to replicas and back to observations, over a runtime in memory."""

from __future__ import annotations

import pytest

from agents.boottime import boottime_ns, seconds_ns
from agents.replicas.controller import ReplicaController
from agents.runtimes.base import Launch, NoRoom
from agents.runtimes.fake import FakeRuntime, Script, scripted
from penstock.api.assignments import Observation, Refusal
from penstock.api.ids import ReplicaId
from penstock.api.states import ExitReason, ReplicaState
from tests.fakes.agent_parts import a_chip, a_keeper, a_lease, a_list, an_assignment, now

STARTING, RUNNING = ReplicaState.STARTING, ReplicaState.RUNNING
STOPPING, EXITED = ReplicaState.STOPPING, ReplicaState.EXITED


def told(controller: ReplicaController) -> list[Observation]:
    request = controller.outbox.take()
    return list(request.observations) if request is not None else []


def states(controller: ReplicaController) -> list[ReplicaState]:
    return [it.state for it in told(controller)]


def accept_all(controller: ReplicaController) -> None:
    request = controller.outbox.take()
    if request is not None:
        controller.accepted([it.replica_id for it in request.observations], request.observations)


def test_a_replica_is_started_with_its_deadline_and_told_with_its_address() -> None:
    runtime = FakeRuntime()
    controller = a_keeper(runtime)
    sent_ns = boottime_ns() - 5_000
    controller.take(a_list(1, an_assignment(lease=a_lease(remaining_s=60))), sent_ns)
    launch = runtime.replicas[ReplicaId("replica_1")].launch
    assert launch.deadline_ns() == sent_ns + seconds_ns(60 - 11)
    assert {it.address for it in told(controller)} == {launch.address}


def test_the_same_list_again_starts_nothing_again() -> None:
    runtime = FakeRuntime()
    controller = a_keeper(runtime)
    for generation in (3, 3, 2, 3):
        controller.take(a_list(generation, an_assignment()), boottime_ns())
    assert runtime.started == ["replica_1"]
    assert controller.generation == 3


def test_each_step_of_a_life_is_told_once_and_in_order() -> None:
    runtime = FakeRuntime()
    controller = a_keeper(runtime)
    controller.take(a_list(1, an_assignment()), boottime_ns())
    for _ in range(3):
        controller.sweep()
    runtime.end(ReplicaId("replica_1"), 3)
    controller.sweep()
    seen = told(controller)
    assert [it.state for it in seen] == [STARTING, RUNNING, EXITED]
    record = seen[-1].exit
    assert record is not None
    assert (record.code, record.reason) == (3, ExitReason.ERROR)


def test_an_end_that_was_accepted_is_forgotten_and_never_runs_again() -> None:
    runtime = FakeRuntime(scripted(job=Script(code=0)))
    controller = a_keeper(runtime)
    controller.take(a_list(1, an_assignment()), boottime_ns())
    controller.sweep()
    accept_all(controller)
    assert runtime.replicas == {}
    controller.take(a_list(1, an_assignment()), boottime_ns())
    assert runtime.started == ["replica_1"]
    assert told(controller) == []


def test_last_words_are_told_of_a_running_replica_and_the_end_only_with_its_record() -> None:
    runtime = FakeRuntime()
    controller = a_keeper(runtime)
    controller.take(a_list(1, an_assignment()), boottime_ns())
    controller.ended = _nothing_more
    runtime.end(ReplicaId("replica_1"), 0)
    controller.sweep()
    for held in controller.replicas:
        controller.report(held, result={"loss": 1})
    now(controller.report_end(ReplicaId("replica_1")))
    seen = told(controller)
    assert [(it.state, it.exit is not None) for it in seen if it.result or it.exit] == [
        (RUNNING, False),
        (EXITED, True),
    ]


def test_an_end_is_kept_until_it_was_accepted() -> None:
    runtime = FakeRuntime(scripted(job=Script(code=0)))
    controller = a_keeper(runtime)
    controller.take(a_list(1, an_assignment()), boottime_ns())
    controller.sweep()
    lost = controller.outbox.take()
    controller.take(a_list(2), boottime_ns())
    assert "replica_1" in runtime.replicas
    assert lost is not None
    controller.outbox.back(lost)
    assert EXITED in states(controller)


def test_a_start_that_fails_is_told_as_an_end() -> None:
    controller = a_keeper(FakeRuntime(scripted(job=Script(fails="no space left"))))
    controller.take(a_list(1, an_assignment()), boottime_ns())
    seen = told(controller)[-1]
    assert seen.exit is not None
    assert (seen.exit.reason, seen.exit.message) == (ExitReason.START_FAILED, "no space left")
    assert seen.exit.log_bytes == 0, "nobody waits for its log"


def test_a_replica_to_stop_that_never_ran_is_told_as_ended() -> None:
    runtime = FakeRuntime()
    controller = a_keeper(runtime)
    controller.take(a_list(1, an_assignment(desired="stop", lease=None)), boottime_ns())
    (seen,) = told(controller)
    assert seen.exit is not None
    assert seen.exit.reason is ExitReason.STOPPED
    assert runtime.started == []


def test_a_waiting_replica_starts_when_its_chip_comes_free() -> None:
    runtime = FakeRuntime(scripted(job=Script(obeys=False)))
    controller = a_keeper(runtime)
    first = an_assignment("replica_1", chips=(a_chip(),))
    second = an_assignment("replica_2", chips=(a_chip(),))
    controller.take(a_list(1, first), boottime_ns())
    controller.take(a_list(2, second), boottime_ns())
    assert runtime.started == ["replica_1"]
    assert [it.state for it in controller.reported()] == [STOPPING, ReplicaState.ASSIGNED]
    runtime.end(ReplicaId("replica_1"), 143)
    assert runtime.started == ["replica_1", "replica_2"]


def test_renewals_count_from_the_moment_the_request_was_sent() -> None:
    runtime = FakeRuntime()
    controller = a_keeper(runtime)
    controller.take(a_list(1, an_assignment()), boottime_ns())
    sent_ns = boottime_ns()
    controller.renew([a_lease(remaining_s=400)], sent_ns)
    controller.renew([a_lease(epoch=2, remaining_s=900)], sent_ns)
    assert runtime.renewals[ReplicaId("replica_1")] == [sent_ns + seconds_ns(389)]


def test_no_grant_moves_a_deadline_beyond_its_ttl() -> None:
    """Whatever a server says of the time that remains."""
    runtime = FakeRuntime()
    controller = a_keeper(runtime)
    controller.take(a_list(1, an_assignment(lease=a_lease(remaining_s=0))), boottime_ns())
    long = a_lease(remaining_s=7200).model_copy(update={"ttl_s": 60.0})
    sent_ns = boottime_ns()
    controller.renew([long], sent_ns)
    launch = runtime.replicas.get(ReplicaId("replica_1"))
    renewals = runtime.renewals[ReplicaId("replica_1")]
    assert launch is None or renewals[-1] == sent_ns + seconds_ns(49)
    controller.take(a_list(2, an_assignment(lease=long)), sent_ns)
    assert runtime.replicas[ReplicaId("replica_1")].launch.deadline_ns() <= sent_ns + seconds_ns(49)


def test_a_replica_without_a_lease_at_the_server_is_stopped() -> None:
    runtime = FakeRuntime()
    controller = a_keeper(runtime)
    controller.take(a_list(1, an_assignment()), boottime_ns())
    controller.stop_unleased([ReplicaId("replica_1"), ReplicaId("replica_of_someone_else")])
    order = runtime.replicas[ReplicaId("replica_1")].order
    assert order is not None
    assert (order.reason, order.grace_s) == (ExitReason.LEASE_EXPIRED, 2.0)


@pytest.mark.parametrize("code", ["stale_epoch", "unknown_replica", "not_yours"])
def test_a_refused_replica_is_stopped_and_told_no_more(code: str) -> None:
    runtime = FakeRuntime()
    controller = a_keeper(runtime)
    controller.take(a_list(1, an_assignment()), boottime_ns())
    told(controller)
    controller.refused([Refusal.model_validate({"replica_id": "replica_1", "code": code})])
    controller.sweep()
    assert told(controller) == []
    assert runtime.replicas == {}
    assert controller.reported() == ()


async def _nothing_more(_: object) -> None:
    pass


async def _deaf(*_: object) -> bool:
    return False


def test_an_order_that_did_not_get_through_is_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime()
    controller = a_keeper(runtime)
    controller.take(a_list(1, an_assignment()), boottime_ns())
    with monkeypatch.context() as deaf:
        deaf.setattr(runtime, "stop", _deaf)
        controller.take(a_list(2, an_assignment(desired="stop", lease=None)), boottime_ns())
    assert runtime.replicas[ReplicaId("replica_1")].exit is None
    controller.sweep()
    assert runtime.replicas[ReplicaId("replica_1")].exit is not None


def test_a_restarted_agent_tells_what_happened_while_it_was_away() -> None:
    runtime = FakeRuntime(scripted(job=Script(output=b"hello")))
    before = a_keeper(runtime)
    before.take(a_list(1, an_assignment("replica_1"), an_assignment("replica_2")), boottime_ns())
    runtime.note_result(ReplicaId("replica_2"), {"loss": 1.0})
    runtime.listen(lambda _: None)
    runtime.end(ReplicaId("replica_2"), 0)
    after = a_keeper(runtime)
    now(after.recover())
    seen = told(after)
    ends = {it.replica_id: it.exit.code for it in seen if it.exit is not None}
    assert ends == {"replica_2": 0}
    assert [it.result for it in seen if it.result] == [{"loss": 1.0}]
    after.take(a_list(4, an_assignment("replica_1")), boottime_ns())
    assert runtime.started == ["replica_1", "replica_2"]
    held = after.replicas.get(ReplicaId("replica_1"))
    assert held is not None
    assert held.adopted


def test_a_recovered_replica_that_is_no_longer_wanted_is_stopped() -> None:
    runtime = FakeRuntime()
    a_keeper(runtime).take(a_list(1, an_assignment()), boottime_ns())
    after = a_keeper(runtime)
    now(after.recover())
    after.take(a_list(9), boottime_ns())
    assert runtime.replicas[ReplicaId("replica_1")].order is not None


class _FullDisk(FakeRuntime):
    is_full = True

    async def start(self, launch: Launch) -> None:
        if self.is_full:
            raise NoRoom("no space left on device")
        await super().start(launch)


def test_a_start_that_a_full_disk_refuses_waits_for_room_and_is_no_failure() -> None:
    runtime = _FullDisk()
    controller = a_keeper(runtime)
    controller.take(a_list(1, an_assignment()), boottime_ns())
    controller.sweep()
    assert states(controller) == [STARTING]
    assert [it.state for it in controller.reported()] == [STARTING]
    runtime.is_full = False
    controller.sweep()
    assert runtime.started == ["replica_1"]
    assert [it.address is not None for it in told(controller)] == [True, True]
