"""How many decisions a second the planner takes. Prints one JSON object a line.

    python -m tests.bench.planner --nodes 1250 --chips-per-node 8 --tasks 1000 --seed 0

Cases: `tasks` (one-chip tasks on a free pool), `distinct-waiting` (as many different requests as
jobs on a full pool), `freed-chip` (the cycle after one chip of that pool came free, with ten times
as many that wait), `silent` (`distinct-waiting` while no node is heard of), `mixed-gangs` (of four
members that may span chip types), `deep-queue` (equal tasks on a full pool), `gangs` (of eight
whole nodes), `mixed` (several shapes), `laptop` (100 one-core tasks on two nodes), `preempt` (gangs
of high priority on a full pool). Columns are made anew for each plan, except in `freed-chip`, where
they are kept between cycles as the server does.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from scheduler.invariants import check
from scheduler.model import (
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
    Plan,
    RunningGang,
    Snapshot,
)
from scheduler.plan import plan
from scheduler.policies.priority_age import PRIORITY_AGE
from scheduler.snapshot.columns import Columns, columns_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TYPES = ("type-a", "type-b", "type-c")
GIB = 2**30


def nodes(count: int, chips: int) -> tuple[Node, ...]:
    """Nodes of 96 cores; every third is of the same chip type."""
    return tuple(
        Node(
            NodeId(f"node-{n:05}"),
            f"n{n}",
            96_000,
            512 * GIB,
            96_000,
            512 * GIB,
            chips=tuple(
                Chip(
                    ChipId(f"chip-{n:05}-{index}"),
                    NodeId(f"node-{n:05}"),
                    index,
                    TYPES[n % len(TYPES)],
                    "maker",
                    80 * GIB,
                    frozenset({"bf16"}),
                )
                for index in range(chips)
            ),
        )
        for n in range(count)
    )


def gang(number: int, request: MemberRequest, members: int = 1, priority: int = 50) -> Gang:
    return Gang(
        GangId(f"gang-{number:06}"),
        JobId(f"job-{number:06}"),
        f"job-{number}",
        "bench",
        "default",
        priority,
        NOW - timedelta(seconds=number),
        JobType.TASK,
        members,
        members,
        request,
    )


def full(pool: tuple[Node, ...], rng: Random) -> Snapshot:
    """Every chip held by a running one-chip gang of low priority."""
    running = tuple(
        RunningGang(
            GangId(f"run-{chip.id}"),
            JobId(f"job-{chip.id}"),
            f"run-{chip.id}",
            "default",
            10,
            NOW,
            chips={chip.id: 1000},
            hosts={node.id: HostShare(12_000, 64 * GIB)},
            saved_at=NOW - timedelta(seconds=rng.uniform(0, 3600)),
        )
        for node in pool
        for chip in node.chips
    )
    taken = tuple(_full_node(node) for node in pool)
    return Snapshot(nodes=taken, running=running)


def cases(args: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Snapshot]]]:
    rng, pool, one = Random(args.seed), nodes(args.nodes, args.chips_per_node), _asks(1)
    shapes = [_asks(1), _asks(2), _asks(4), _asks(8), _asks(0), _asks(1, 500), _asks(1, 250)]

    def tasks() -> Snapshot:
        return Snapshot(pool, tuple(gang(n, one) for n in range(args.tasks)))

    def distinct(count: int) -> Snapshot:
        busy = full(pool, rng)
        queued = (gang(n, _different(n), priority=10) for n in range(count))
        return Snapshot(busy.nodes, tuple(queued), busy.running)

    def freed_chip() -> Snapshot:
        before = distinct(10 * args.tasks)
        known = columns_of(before)
        plan(replace(before, columns=known), PRIORITY_AGE, NOW)
        first, *others = before.nodes
        nodes = (_with_a_free_chip(first), *others)
        columns = Columns(nodes, known)
        return replace(before, nodes=nodes, running=before.running[1:], columns=columns)

    def mixed_gangs() -> Snapshot:
        queued = (replace(gang(n, one, 4), mix=True) for n in range(args.tasks))
        return Snapshot(pool, tuple(queued))

    def deep_queue() -> Snapshot:
        queued = tuple(gang(n, one, priority=10) for n in range(args.tasks))
        return Snapshot(full(pool, rng).nodes, queued, full(pool, rng).running)

    def gangs() -> Snapshot:
        request = _asks(args.chips_per_node)
        return Snapshot(pool, tuple(gang(n, request, 8) for n in range(args.tasks // 8)))

    def mixed() -> Snapshot:
        queued = (gang(n, rng.choice(shapes), rng.choice((1, 1, 2, 4))) for n in range(args.tasks))
        return Snapshot(pool, tuple(queued))

    def laptop() -> Snapshot:
        return Snapshot(nodes(2, 2), tuple(gang(n, _asks(0)) for n in range(100)))

    def preempt() -> Snapshot:
        busy = full(pool, rng)
        high = tuple(gang(n, _asks(args.chips_per_node), priority=90) for n in range(20))
        return Snapshot(busy.nodes, high, busy.running)

    yield from (
        ("tasks", tasks),
        ("distinct-waiting", lambda: distinct(args.tasks)),
        ("freed-chip", freed_chip),
        ("mixed-gangs", mixed_gangs),
        ("silent", lambda: _silent(distinct(args.tasks))),
        ("deep-queue", deep_queue),
        ("gangs", gangs),
        ("mixed", mixed),
        ("laptop", laptop),
        ("preempt", preempt),
    )


def measure(name: str, snapshot: Snapshot, repeat: int) -> dict[str, object]:
    """The best of several plans, and the time that the invariants take."""
    walls, cpus, made = [], [], Plan()
    for _ in range(repeat):
        started, worked = time.perf_counter(), time.process_time()
        made = plan(snapshot, PRIORITY_AGE, NOW)
        walls.append(time.perf_counter() - started)
        cpus.append(time.process_time() - worked)
    started = time.perf_counter()
    broken = check(snapshot, made)
    check_s = time.perf_counter() - started
    assert not broken, broken[0]
    decisions = len(snapshot.queued)
    return {
        "bench": "planner", "case": name, "decisions_per_s": round(decisions / min(walls)),
        "nodes": len(snapshot.nodes),
        "chips": sum(len(node.chips) for node in snapshot.nodes),
        "metrics": {
            "num_queued": decisions, "num_placed": len(made.placements),
            "num_members": sum(len(it.seats) for it in made.placements),
            "num_preempted": len(made.preemptions),
        },
        "timing": {
            "wall_s": round(min(walls), 5), "cpu_s": round(min(cpus), 5),
            "check_s": round(check_s, 5),
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nodes", type=int, default=1250)
    parser.add_argument("--chips-per-node", type=int, default=8)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--case", help="only this one")
    args = parser.parse_args()
    for name, make in cases(args):
        if args.case in (None, name):
            print(json.dumps({**measure(name, make(), args.repeat), "seed": args.seed}), flush=True)


def _asks(chips: int, milli: int = 1000) -> MemberRequest:
    return MemberRequest(chips=chips, milli=milli)


def _different(number: int) -> MemberRequest:
    """Requests of one to four chips, no two of which are alike."""
    return MemberRequest(
        chips=1 + number % 4,
        wish=("any",) if number % 2 else (TYPES[number % 3],),
        memory_bytes=GIB + number,
        cores_milli=1000 + number % 7,
    )


def _silent(snapshot: Snapshot) -> Snapshot:
    lost = tuple(replace(it, closed=Closed.LOST) for it in snapshot.nodes)
    return replace(snapshot, nodes=lost)


def _with_a_free_chip(node: Node) -> Node:
    chips = (replace(node.chips[0], free_milli=1000), *node.chips[1:])
    return replace(
        node,
        chips=chips,
        free_cores_milli=node.free_cores_milli + 12_000,
        free_memory_bytes=node.free_memory_bytes + 64 * GIB,
    )


def _full_node(node: Node) -> Node:
    held = len(node.chips)
    return Node(
        node.id,
        node.name,
        node.cores_milli,
        node.memory_bytes,
        node.cores_milli - held * 12_000,
        node.memory_bytes - held * 64 * GIB,
        chips=tuple(
            Chip(
                it.id,
                it.node_id,
                it.index,
                it.type,
                it.vendor,
                it.memory_bytes,
                it.dtypes,
                free_milli=0,
            )
            for it in node.chips
        ),
    )


if __name__ == "__main__":
    main()
