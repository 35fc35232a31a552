"""Which faults strike what, and when: a pure function of seed, round and kinds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

NODES: Final = ("a", "b", "c")
SERVERS: Final = {"sqlite": ("s1",), "postgresql": ("s1", "s2")}
KINDS: Final = (
    "kill", "freeze", "network", "clock", "identity", "supervisor", "disk", "database", "redis",
)  # fmt: skip
FEW: Final = 3
LONG_S: Final = (40.0, 55.0)
"""Longer than a lease of the shortest grace, with its margins."""
FREEZE_S: Final = 120.0
OVER_S: Final = 30.0
"""A fault may last that much longer than the round whose faults began within its length."""
STEPS_S: Final = (90.0, 3600.0, -3600.0, -90.0, 7200.0, 20.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the table. `on`: what it can strike; `short_s`: how long it lasts, mostly;
    `rest_s`: how long its target is left in peace after it.
    """

    name: str
    kind: str
    on: str
    short_s: tuple[float, float] = (1.0, 8.0)
    long_share: float = 0.2
    rest_s: tuple[float, float] = (1.5, 6.0)
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault of a plan. `value` is what else it needs drawn, between 0 and 1."""

    at_s: float
    fault: Fault
    target: str
    for_s: float
    value: float

    def later(self, by_s: float) -> Strike | None:
        """The same once more, over at the same time; None where too little of it would be left."""
        left_s = self.for_s - by_s
        return replace(self, at_s=self.at_s + by_s, for_s=left_s) if left_s > by_s else None

    @property
    def text(self) -> str:
        return f"{self.at_s:.1f} s {self.fault.name} {self.target} for {self.for_s:.1f} s"


FAULTS: Final = (
    Fault("kill_server", "kill", "server", (0.5, 5.0), 0.05),
    Fault("kill_server_child", "kill", "watched server", (0.1, 0.1), 0.0),
    Fault("kill_agent", "kill", "node", (0.5, 5.0), 0.25),
    Fault("kill_job", "kill", "node", (5.0, 5.0), 0.0),
    Fault("freeze_server", "freeze", "server", (2.0, 10.0), 0.1),
    Fault("freeze_server_child", "freeze", "watched server", (2.0, 10.0), 0.3),
    Fault("freeze_writer", "freeze", "writer", (6.0, 12.0), 0.5),
    Fault("freeze_agent", "freeze", "node", (2.0, 10.0), 0.25),
    Fault("cut_both", "network", "node", long_share=0.3),
    Fault("cut_up", "network", "node"),
    Fault("cut_down", "network", "node"),
    Fault("delay", "network", "node", (2.0, 8.0), 0.0),
    Fault("repeat", "network", "node", (2.0, 8.0), 0.0),
    Fault("late", "network", "node", (1.0, 12.0), 0.1),
    Fault("step_server_clock", "clock", "clock", (2.0, 6.0), 0.0, (12.0, 40.0)),
    Fault("step_node_clock", "clock", "node clock", (2.0, 6.0), 0.0, (12.0, 40.0)),
    Fault("cut_under_step", "clock", "node", LONG_S, 0.0, weight=0.4),
    Fault("kill_under_step", "clock", "clock", (12.0, 16.0), 0.0, weight=0.4),
    Fault("reuse_name", "identity", "node", (3.0, 8.0), 0.0),
    Fault("run_copy", "identity", "node", (3.0, 10.0), 0.2),
    Fault("swap_copy", "identity", "node", (2.0, 8.0), 0.2),
    Fault("restore_older", "identity", "node", (2.0, 6.0), 0.0),
    Fault("halt_supervisor", "supervisor", "node", (1.0, 8.0), 0.2),
    Fault("freeze_supervisor", "supervisor", "node", (1.0, 8.0), 0.4),
    Fault("kill_supervisor", "supervisor", "node", (5.0, 5.0), 0.0),
    Fault("job_freezes_parent", "supervisor", "node", (2.0, 5.0), 0.0),
    Fault("job_leaves_stray", "supervisor", "node", (2.0, 5.0), 0.0),
    Fault("fill_server_disk", "disk", "server disk", (2.0, 12.0), 0.05, (3.0, 15.0)),
    Fault("fill_node_disk", "disk", "node", (2.0, 12.0), 0.1),
    Fault("kill_database", "database", "database", (0.5, 5.0), 0.0),
    Fault("freeze_database", "database", "database", (2.0, 12.0), 0.05),
    Fault("flush_redis", "redis", "redis", (0.1, 0.1), 0.0),
    Fault("kill_redis", "redis", "redis", (0.5, 8.0), 0.05),
    Fault("freeze_redis", "redis", "redis", (2.0, 10.0), 0.05),
)  # fmt: skip
_AWAY: Final = ("kill", "freeze", "network", "clock")
_ROLES: Final = (_AWAY, ("identity",), _AWAY, ("supervisor",), ("disk",))
"""Kinds that may strike one node in one round. An agent that is away while a supervisor is frozen
is nobody's promise: nobody could act."""


def plan_round(
    seed: int, number: int, kinds: Sequence[str], database: str, length_s: float
) -> list[Strike]:
    """The strikes of one round in order. Of each target, one ends before the next begins.

    Of many kinds every third round has all, the others some: where all is struck at once, little
    runs.
    """
    random = Random(f"{seed}:{number}:{','.join(sorted(kinds))}:{database}")
    are_all = number % 3 == 0 or len(kinds) <= FEW
    some = random.sample(sorted(kinds), len(kinds) if are_all else -(-len(kinds) // 2))
    strikes: list[Strike] = []
    for target, faults in _tracks(random, some, database):
        strikes += _track(random, target, faults, length_s)
    return sorted(strikes, key=lambda it: (it.at_s, it.target))


def _tracks(
    random: Random, kinds: Sequence[str], database: str
) -> Iterator[tuple[str, list[Fault]]]:
    roles = [role for role in _ROLES if set(role) & set(kinds)]
    first = random.randrange(max(1, len(roles)))
    for index, node in enumerate(NODES):
        role = roles[(first + index) % len(roles)] if roles else ()
        yield f"node {node}", [it for it in _of(kinds, "node") if it.kind in role]
        yield f"clock {node}", _of(kinds, "node clock")
    for server in _struck(random, SERVERS[database]):
        more = "writer" if database == "postgresql" else "watched server"
        yield f"server {server}", _of(kinds, "server") + _of(kinds, more)
    yield "clock server", _of(kinds, "clock")
    yield "disk server", _of(kinds, "server disk")
    if database == "postgresql":
        yield "database", _of(kinds, "database")
        yield "redis", _of(kinds, "redis")


def _struck(random: Random, servers: Sequence[str]) -> Sequence[str]:
    """All of them or, more often, all but one, which then has to go on alone."""
    if len(servers) == 1 or random.random() < 0.4:
        return servers
    spared = random.choice(servers)
    return [it for it in servers if it != spared]


def _of(kinds: Sequence[str], on: str) -> list[Fault]:
    return [it for it in FAULTS if it.on == on and it.kind in kinds]


def _track(
    random: Random, target: str, faults: Sequence[Fault], length_s: float
) -> Iterator[Strike]:
    at_s = random.uniform(1.0, 6.0)
    while faults and at_s < length_s:
        (fault,) = random.choices(faults, [it.weight for it in faults])
        for_s = _duration(random, fault, length_s)
        if at_s + for_s > length_s + OVER_S:
            for_s = random.uniform(*fault.short_s)
        yield Strike(round(at_s, 2), fault, target, round(for_s, 2), random.random())
        at_s += for_s + random.uniform(*fault.rest_s)


def _duration(random: Random, fault: Fault, length_s: float) -> float:
    """Short rounds have no long faults, but for those that are nothing without."""
    if length_s < LONG_S[0]:
        return min(random.uniform(*fault.short_s), length_s)
    if random.random() >= fault.long_share:
        return random.uniform(*fault.short_s)
    is_very_long = fault.kind == "freeze" and random.random() < 0.4
    return random.uniform(LONG_S[1], FREEZE_S) if is_very_long else random.uniform(*LONG_S)
