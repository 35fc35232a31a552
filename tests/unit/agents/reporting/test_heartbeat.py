"""A heartbeat renews what is here, ends what has no lease, and sends news of the node once."""

from __future__ import annotations

import asyncio

from agents.boottime import boottime_ns, seconds_ns
from agents.node.chips.base import ProbeResult
from agents.node.hardware.host import Capacity
from agents.node.inventory import Host, NodeWatch
from agents.reporting.heartbeat import HeartbeatLoop
from penstock.api.chips import ChipReport
from penstock.api.ids import ReplicaId
from penstock.api.states import ReplicaState
from tests.fakes.agent_parts import Bench, a_lease, a_list, an_assignment

HOST = Host(Capacity(2000, 1 << 30), "127.0.0.1", {"zone": "a"}, lambda: {"cpu": "cgroup v1"})


async def _unused() -> None:
    raise AssertionError("nobody asked for a new credential")


def a_loop(bench: Bench) -> HeartbeatLoop:
    node = NodeWatch(HOST, ProbeResult, tuple, 60, 5)
    return HeartbeatLoop(bench.client, bench.controller, node, "instance", 5.0, _unused)


def test_leases_are_renewed_from_the_send_time() -> None:
    bench = Bench()
    bench.fake.assign(an_assignment())
    short = an_assignment(lease=a_lease(remaining_s=12))
    bench.controller.take(a_list(2, short), boottime_ns())
    before = boottime_ns()
    asyncio.run(a_loop(bench).beat())
    (deadline,) = bench.runtime.renewals[ReplicaId("replica_1")]
    kept = seconds_ns(bench.fake.ttl_s - bench.fake.margin_s)
    assert before + kept <= deadline <= boottime_ns() + kept


def test_what_the_server_does_not_know_is_stopped() -> None:
    bench = Bench()
    bench.controller.take(a_list(2, an_assignment()), boottime_ns())
    asyncio.run(a_loop(bench).beat())
    assert bench.runtime.replicas[ReplicaId("replica_1")].exit is not None


def test_a_replica_that_waits_to_start_keeps_its_lease() -> None:
    bench = Bench()
    waiting = an_assignment(rank=1, world_size=2)
    bench.fake.assign(waiting)
    bench.controller.take(a_list(2, waiting), boottime_ns())
    asyncio.run(a_loop(bench).beat())
    (held,) = bench.fake.heartbeats[0].replicas
    assert held.state is ReplicaState.ASSIGNED


def test_the_inventory_travels_at_start_and_on_change_only() -> None:
    bench = Bench()
    loop = a_loop(bench)

    async def beats() -> None:
        await loop.beat()
        await loop.beat()
        chip = ChipReport(key="c", vendor="emulated", type="emulated-a100", index=0)
        loop.node.probe = lambda: ProbeResult((chip,))
        await loop.node.look()
        await loop.beat()

    asyncio.run(beats())
    sent = [it.inventory for it in bench.fake.heartbeats]
    assert [it is not None for it in sent] == [True, False, True]
    assert sent[2] is not None
    assert [it.key for it in sent[2].chips] == ["c"]


def test_a_rotation_is_carried_out_when_asked_for() -> None:
    bench = Bench()
    bench.fake.rotate = True
    loop = a_loop(bench)

    async def rotate() -> None:
        bench.client.credential = (await bench.client.rotate()).credential

    loop.rotate = rotate

    async def beats() -> None:
        await loop.beat()
        await loop.beat()

    asyncio.run(beats())
    assert bench.fake.calls == ["heartbeat", "credential", "heartbeat"]
