"""Short ways to say a pool, a job and what became of it, for scheduler tests.

    pool = a_pool().node("a", "emulated-a100", chips=4)
    plan = plan_for(pool, a_job("big").of_type("train").members(8))
    assert plan.why("big") == "..."

Every plan made here is checked against the invariants.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from scheduler.explain import Explanation, explain
from scheduler.invariants import check
from scheduler.model import (
    WHOLE,
    Chip,
    ChipId,
    Closed,
    Code,
    Gang,
    GangId,
    HostShare,
    JobId,
    JobType,
    MemberRequest,
    Node,
    NodeId,
    Plan,
    Queue,
    Rate,
    RunningGang,
    Seat,
    Snapshot,
    Speeds,
    Work,
)
from scheduler.plan import plan
from scheduler.policies.priority_age import PRIORITY_AGE

GIB = 2**30
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
VENDORS = frozenset({"nvidia", "ascend", "cpu", "emulated"})


@dataclass(frozen=True, slots=True)
class PoolBuilder:
    """A snapshot without queued jobs."""

    snapshot: Snapshot = field(default_factory=lambda: Snapshot(vendors=VENDORS))

    def node(
        self,
        name: str,
        chip_type: str = "",
        chips: int = 0,
        *,
        cores: float = 64,
        memory: int = 256 * GIB,
        closed: Closed | None = None,
        **chip: Any,
    ) -> PoolBuilder:
        """A node of that name with equal chips; more kinds of them with `chips`."""
        node_id = NodeId(f"node-{name}")
        node = Node(
            id=node_id,
            name=name,
            cores_milli=int(cores * 1000),
            memory_bytes=memory,
            free_cores_milli=int(cores * 1000),
            free_memory_bytes=memory,
            closed=closed,
        )
        built = replace(self, snapshot=replace(self.snapshot, nodes=(*self.snapshot.nodes, node)))
        return built.chips(chip_type, chips, **chip) if chips else built

    def chips(self, chip_type: str, count: int, **chip: Any) -> PoolBuilder:
        """More chips on the node named last."""
        *others, node = self.snapshot.nodes
        more = tuple(
            a_chip(node.id, chip_type, len(node.chips) + number, **chip) for number in range(count)
        )
        nodes = (*others, replace(node, chips=node.chips + more))
        return replace(self, snapshot=replace(self.snapshot, nodes=nodes))

    def laptop(self, name: str = "laptop", **node: Any) -> PoolBuilder:
        """Two cores that are one CPU chip, two `emulated-a100` and two `emulated-910b`."""
        return (
            self.node(
                name,
                "cpu-x86",
                1,
                **{"cores": 2, "memory": 16 * GIB, **node},
                vendor="cpu",
                memory_bytes=16 * GIB,
                cores_milli=2000,
            )
            .chips("emulated-a100", 2, cores_milli=500, **_emulated("nvidia-a100"))
            .chips("emulated-910b", 2, cores_milli=250, **_emulated("ascend-910b"))
        )

    def queue(self, name: str, used: dict[str, int] | None = None, **limits: int) -> PoolBuilder:
        """A queue with limits in whole chips; `used` counts thousandths per type."""
        named = {key.replace("_", "-"): value for key, value in limits.items()}
        queue = Queue(name, named, used or {})
        return replace(self, snapshot=replace(self.snapshot, queues=(*self.snapshot.queues, queue)))

    def speeds(self, work_class: str, **tokens_per_s: float) -> PoolBuilder:
        """Observed speeds by chip type, dashes written as underscores."""
        measured = {
            name.replace("_", "-"): Rate(value, "observed") for name, value in tokens_per_s.items()
        }
        known = {**self.snapshot.speeds.measured, work_class: measured}
        return replace(self, snapshot=replace(self.snapshot, speeds=Speeds(known)))

    def running(
        self,
        name: str,
        chips: int,
        chip_type: str,
        *,
        priority: int = 50,
        milli: int = WHOLE,
        releasing: bool = False,
        lost_work_s: float = 0.0,
        queue: str = "default",
        preemptible: bool = True,
        node: str | None = None,
        cores_milli: int = 0,
        project: str = "default",
        type: JobType = JobType.TASK,
    ) -> PoolBuilder:
        """A job that holds so many free chips of a type, the first there are."""
        nodes, held, hosts = list(self.snapshot.nodes), dict[ChipId, int](), set[NodeId]()
        for number, it in enumerate(nodes):
            if node in (None, it.name):
                nodes[number] = _hold(it, chip_type, chips - len(held), milli, releasing, held)
                if nodes[number] is not it:
                    hosts.add(it.id)
                    nodes[number] = _hold_cores(nodes[number], cores_milli, releasing)
        assert len(held) == chips, f"only {len(held)} of {chips} {chip_type} are free"
        gang = RunningGang(
            GangId(f"gang-{name}"),
            JobId(f"job-{name}"),
            name,
            queue,
            priority,
            NOON,
            type=type,
            project=project,
            preemptible=preemptible,
            releasing=releasing,
            chips=held,
            saved_at=NOON - timedelta(seconds=lost_work_s),
            hosts={it: HostShare(cores_milli, 0) for it in sorted(hosts)},
        )
        queues = tuple(
            _charged(it, chip_type, chips * milli, releasing) if it.name == queue else it
            for it in self.snapshot.queues
        )
        return replace(
            self,
            snapshot=replace(
                self.snapshot,
                nodes=tuple(nodes),
                running=(*self.snapshot.running, gang),
                queues=queues,
            ),
        )


@dataclass(frozen=True, slots=True)
class JobBuilder:
    """A queued gang; without more it is a task of one member and no chip."""

    gang: Gang

    def asking(
        self, chips: int = 1, chip: str | tuple[str, ...] = "any", **more: Any
    ) -> JobBuilder:
        """What each member asks for."""
        wish = (chip,) if isinstance(chip, str) else chip
        return self._with(request=MemberRequest(chips=chips, wish=wish, **more))

    def gang_of(self, members: int, chips: int = 1, chip: str = "any", **more: Any) -> JobBuilder:
        """A task of so many members."""
        return self.asking(chips, chip, **more)._with(least=members, most=members)

    def training(
        self, least: int, most: int | None = None, chip: str | tuple[str, ...] = "any", **more: Any
    ) -> JobBuilder:
        """A training job, one member per chip."""
        job = self.asking(1, chip, **more)
        return job._with(type=JobType.TRAIN, least=least, most=most or least)

    def serving(self, chip: str | tuple[str, ...] = "any", **more: Any) -> JobBuilder:
        """One replica of a serving job."""
        return self.asking(1, chip, **more)._with(type=JobType.SERVE)

    def mixed(self) -> JobBuilder:
        return self._with(mix=True, spread=self.gang.type is JobType.SERVE)

    def priority(self, value: int) -> JobBuilder:
        return self._with(priority=value)

    def age(self, seconds: float) -> JobBuilder:
        return self._with(created_at=NOON - timedelta(seconds=seconds))

    def in_queue(self, name: str) -> JobBuilder:
        return self._with(queue=name)

    def work(self, work_class: str) -> JobBuilder:
        return self._with(work=Work(work_class))

    def not_before(self, seconds: float) -> JobBuilder:
        return self._with(not_before=NOON + timedelta(seconds=seconds))

    def siblings(self, **chip_types: int) -> JobBuilder:
        named = {key.replace("_", "-"): value for key, value in chip_types.items()}
        return self._with(sibling_types=named)

    def replica(self, number: int) -> JobBuilder:
        """Another gang of the same job."""
        return self._with(id=GangId(f"{self.gang.id}-{number}"))

    def _with(self, **changes: Any) -> JobBuilder:
        return JobBuilder(replace(self.gang, **changes))


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan with the snapshot it was made of."""

    snapshot: Snapshot
    plan: Plan

    def seats(self, name: str) -> tuple[Seat, ...]:
        """The seats of a job by its name; empty if it was not placed."""
        ids = {gang.id for gang in self.snapshot.queued if gang.job_name == name}
        return tuple(seat for it in self.plan.placements if it.gang_id in ids for seat in it.seats)

    def types(self, name: str) -> dict[str, int]:
        """Chip type → chips that the job was given."""
        types = {chip.id: chip.type for node in self.snapshot.nodes for chip in node.chips}
        return dict(Counter(types[chip] for seat in self.seats(name) for chip in seat.chips))

    def placed(self) -> list[str]:
        """Names of the jobs that start, in the plan's order."""
        names = {gang.id: gang.job_name for gang in self.snapshot.queued}
        return [names[it.gang_id] for it in self.plan.placements]

    def victims(self) -> list[str]:
        names = {gang.id: gang.job_name for gang in self.snapshot.running}
        return [names[it.victim_id] for it in self.plan.preemptions]

    def code(self, name: str) -> Code:
        return self.plan.deferrals[self._gang(name).id]

    def explain(self, name: str) -> Explanation:
        found = explain(self.snapshot, PRIORITY_AGE, NOON, {self._gang(name).id})
        assert found is not None
        return found

    def why(self, name: str) -> str:
        """The sentence for a job that waits."""
        return self.explain(name).sentence

    def _gang(self, name: str) -> Gang:
        return next(
            gang
            for gang in self.snapshot.queued
            if gang.job_name == name and gang.id in self.plan.deferrals
        )


def a_pool() -> PoolBuilder:
    return PoolBuilder()


def a_job(name: str = "job-1") -> JobBuilder:
    return JobBuilder(
        Gang(GangId(f"gang-{name}"), JobId(f"job-{name}"), name, "default", "default", 50, NOON)
    )


def a_chip(node: NodeId, chip_type: str, index: int, **chip: Any) -> Chip:
    """A whole free chip; its vendor is the first part of the type's name."""
    given = {"vendor": chip_type.split("-")[0], "memory_bytes": 80 * GIB, **chip}
    given.setdefault("dtypes", frozenset({"fp32", "bf16"}))
    return Chip(ChipId(f"{node}-{chip_type}-{index}"), node, index, chip_type, **given)


def plan_for(pool: PoolBuilder, *jobs: JobBuilder) -> Planned:
    """The plan for these jobs on this pool, found to break no invariant."""
    snapshot = replace(pool.snapshot, queued=tuple(job.gang for job in jobs))
    made = plan(snapshot, PRIORITY_AGE, NOON)
    assert check(snapshot, made) == ()
    return Planned(snapshot, made)


def _emulated(stands_for: str) -> dict[str, Any]:
    return {"emulated": True, "stands_for": stands_for, "memory_bytes": 2 * GIB}


def _hold(
    node: Node, chip_type: str, wanted: int, milli: int, releasing: bool, held: dict[ChipId, int]
) -> Node:
    chips = list(node.chips)
    for number, chip in enumerate(chips):
        if wanted and chip.type == chip_type and chip.free_milli >= milli and chip.id not in held:
            coming = chip.releasing_milli + (milli if releasing else 0)
            chips[number] = replace(
                chip, free_milli=chip.free_milli - milli, releasing_milli=coming
            )
            held[chip.id] = milli
            wanted -= 1
    changed = tuple(chips)
    return node if changed == node.chips else replace(node, chips=changed)


def _hold_cores(node: Node, cores_milli: int, releasing: bool) -> Node:
    return replace(
        node,
        free_cores_milli=node.free_cores_milli - cores_milli,
        releasing_cores_milli=node.releasing_cores_milli + (cores_milli if releasing else 0),
    )


def _charged(queue: Queue, chip_type: str, milli: int, releasing: bool) -> Queue:
    used = {**queue.used_milli, chip_type: queue.used_milli.get(chip_type, 0) + milli}
    coming = dict(queue.releasing_milli)
    if releasing:
        coming[chip_type] = coming.get(chip_type, 0) + milli
    return replace(queue, used_milli=used, releasing_milli=coming)
