"""Hypothesis strategies for small pools with work running and waiting on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from hypothesis import strategies as st

from scheduler.model import (
    WHOLE,
    Chip,
    ChipId,
    Closed,
    Gang,
    GangId,
    HostShare,
    JobId,
    JobType,
    MemberRequest,
    Node,
    NodeId,
    Queue,
    RunningGang,
    Snapshot,
)
from tests.builders import GIB, NOON, VENDORS

TYPES: Final = ("nvidia-h200", "ascend-910b", "emulated-a100")
QUEUES: Final = ("default", "research")
WISHES: Final = (("any",), ("nvidia",), ("ascend-910b", "any"), ("emulated-a100",), ("nowhere",))


@dataclass(frozen=True, slots=True)
class Load:
    """A running gang to be: how it wants to sit on the chips of one node."""

    node: int
    chips: tuple[int, ...]
    milli: int
    priority: int
    releasing: bool
    preemptible: bool
    queue: str
    lost_work_s: int
    type: JobType
    project: str


def nodes() -> st.SearchStrategy[tuple[Node, ...]]:
    return st.lists(_node(), min_size=0, max_size=4).map(
        lambda made: tuple(_named(node, number) for number, node in enumerate(made))
    )


def gangs(most: int = 6) -> st.SearchStrategy[tuple[Gang, ...]]:
    return st.lists(_gang(), min_size=1, max_size=most).map(
        lambda made: tuple(_numbered(gang, number) for number, gang in enumerate(made))
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """A consistent snapshot: what runs is taken off what is free, and queues count it."""
    snapshot = Snapshot(nodes=draw(nodes()), queued=draw(gangs()), vendors=VENDORS)
    for number, load in enumerate(draw(st.lists(_load(), max_size=6))):
        snapshot = _run(snapshot, number, load)
    limits = draw(st.dictionaries(st.sampled_from(("any", *TYPES)), st.integers(0, 6), max_size=2))
    return replace(snapshot, queues=_queues(snapshot, limits))


def settled(snapshot: Snapshot, gone: set[GangId], started: Sequence[RunningGang]) -> Snapshot:
    """The same snapshot once everything that is being released, and the gangs named, have ended,
    and others have started.
    """
    stay = [it for it in snapshot.running if not it.releasing and it.id not in gone]
    stay += started
    fresh = tuple(_emptied(node) for node in snapshot.nodes)
    after = replace(snapshot, nodes=fresh, running=())
    for gang in stay:
        after = _seat(after, gang)
    limits = {queue.name: queue.limits for queue in snapshot.queues}
    return replace(after, queues=_queues(after, dict(limits.get("research", {}))))


@st.composite
def _node(draw: st.DrawFn) -> Node:
    chip_types = draw(st.lists(st.sampled_from(TYPES), max_size=4))
    chips = tuple(
        Chip(
            ChipId(""),
            NodeId(""),
            index,
            chip_type,
            chip_type.split("-")[0],
            draw(st.sampled_from((None, 2 * GIB, 80 * GIB))),
            frozenset({"bf16"}),
            emulated=chip_type.startswith("emulated"),
            healthy=draw(st.integers(0, 9)) > 0,
            cores_milli=500 if chip_type.startswith("emulated") else 0,
        )
        for index, chip_type in enumerate(chip_types)
    )
    cores, memory = draw(st.sampled_from((2000, 8000, 64000))), draw(st.sampled_from((8, 256)))
    closed = draw(st.sampled_from((None, None, None, *Closed)))
    return Node(
        NodeId(""), "", cores, memory * GIB, cores, memory * GIB, closed=closed, chips=chips
    )


@st.composite
def _gang(draw: st.DrawFn) -> Gang:
    job_type = draw(st.sampled_from(JobType))
    milli = draw(st.sampled_from((1000, 1000, 500, 300)))
    chips = 1 if milli < 1000 or job_type is not JobType.TASK else draw(st.integers(0, 3))
    least = 1 if job_type is JobType.SERVE else draw(st.integers(1, 3))
    request = MemberRequest(
        chips=chips,
        milli=milli if chips else 1000,
        wish=draw(st.sampled_from(WISHES)),
        memory_bytes=draw(st.sampled_from((None, None, GIB, 16 * GIB))),
        cores_milli=draw(st.sampled_from((None, None, 1500))),
    )
    mix = draw(st.booleans())
    return Gang(
        GangId(""),
        JobId(""),
        "",
        "default",
        draw(st.sampled_from(QUEUES)),
        draw(st.sampled_from((10, 50, 90))),
        NOON - timedelta(seconds=draw(st.integers(0, 3))),
        job_type,
        least,
        least + draw(st.integers(0, 2)) * (job_type is JobType.TRAIN),
        request,
        mix=mix,
        spread=mix and job_type is JobType.SERVE,
        not_before=draw(st.sampled_from((None, None, None, NOON + timedelta(seconds=9)))),
    )


def _load() -> st.SearchStrategy[Load]:
    return st.builds(
        Load,
        node=st.integers(0, 3),
        chips=st.lists(st.integers(0, 3), unique=True, max_size=3).map(tuple),
        milli=st.sampled_from((1000, 1000, 400)),
        priority=st.sampled_from((10, 50, 90)),
        releasing=st.booleans(),
        preemptible=st.sampled_from((True, True, False)),
        queue=st.sampled_from(QUEUES),
        lost_work_s=st.integers(0, 600),
        type=st.sampled_from(JobType),
        project=st.sampled_from(("default", "default", "theirs")),
    )


def _named(node: Node, number: int) -> Node:
    node_id = NodeId(f"node-{number}")
    chips = tuple(
        replace(chip, id=ChipId(f"chip-{number}-{chip.index}"), node_id=node_id)
        for chip in node.chips
    )
    return replace(node, id=node_id, name=f"n{number}", chips=chips)


def _numbered(gang: Gang, number: int) -> Gang:
    return replace(
        gang, id=GangId(f"gang-{number}"), job_id=JobId(f"job-{number}"), job_name=f"job-{number}"
    )


def _run(snapshot: Snapshot, number: int, load: Load) -> Snapshot:
    """With the load running, if there is room for it."""
    if load.node >= len(snapshot.nodes):
        return snapshot
    node = snapshot.nodes[load.node]
    chips = {
        chip.id: load.milli
        for chip in node.chips
        if chip.index in load.chips and chip.free_milli >= load.milli
    }
    share = HostShare(250 * max(1, len(chips)), GIB)
    if node.free_cores_milli < share.cores_milli or node.free_memory_bytes < GIB:
        return snapshot
    gang = RunningGang(
        GangId(f"run-{number}"),
        JobId(f"run-{number}"),
        f"run-{number}",
        load.queue,
        load.priority,
        NOON,
        type=load.type,
        project=load.project,
        preemptible=load.preemptible,
        releasing=load.releasing,
        chips=chips,
        hosts={node.id: share},
        saved_at=NOON - timedelta(seconds=load.lost_work_s),
    )
    return _seat(snapshot, gang)


def _seat(snapshot: Snapshot, gang: RunningGang) -> Snapshot:
    made = tuple(_holding(node, gang) for node in snapshot.nodes)
    return replace(snapshot, nodes=made, running=(*snapshot.running, gang))


def _holding(node: Node, gang: RunningGang) -> Node:
    if node.id not in gang.hosts:
        return node
    share, coming = gang.hosts[node.id], int(gang.releasing)
    chips = tuple(
        replace(
            chip,
            free_milli=chip.free_milli - gang.chips.get(chip.id, 0),
            releasing_milli=chip.releasing_milli + coming * gang.chips.get(chip.id, 0),
        )
        for chip in node.chips
    )
    return replace(
        node,
        chips=chips,
        free_cores_milli=node.free_cores_milli - share.cores_milli,
        free_memory_bytes=node.free_memory_bytes - share.memory_bytes,
        releasing_cores_milli=node.releasing_cores_milli + coming * share.cores_milli,
        releasing_memory_bytes=node.releasing_memory_bytes + coming * share.memory_bytes,
    )


def _emptied(node: Node) -> Node:
    return replace(
        node,
        free_cores_milli=node.cores_milli,
        free_memory_bytes=node.memory_bytes,
        releasing_cores_milli=0,
        releasing_memory_bytes=0,
        chips=tuple(replace(chip, free_milli=WHOLE, releasing_milli=0) for chip in node.chips),
    )


def _queues(snapshot: Snapshot, limits: dict[str, int]) -> tuple[Queue, ...]:
    types = {chip.id: chip.type for node in snapshot.nodes for chip in node.chips}
    used: dict[str, int] = {}
    coming: dict[str, int] = {}
    for gang in snapshot.running:
        if gang.queue == "research":
            for chip, milli in gang.chips.items():
                used[types[chip]] = used.get(types[chip], 0) + milli
                if gang.releasing:
                    coming[types[chip]] = coming.get(types[chip], 0) + milli
    return (Queue("default"), Queue("research", limits, used, coming))
