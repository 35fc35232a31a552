"""A cloud to which everything may happen in any order, as a Hypothesis state machine.

People submit, cancel and drain; the daemon runs cycles and sweeps, or dies at any commit; nodes
fall silent, come back, start anew, answer twice, late, or not at all; clocks run on and off.
After every step all promises must hold; once the faults end, every task must come to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import func, select

from control_plane.errors import Conflict
from control_plane.services.agents.heartbeat import record_heartbeat
from control_plane.services.nodes.incarnations import begin_incarnation
from control_plane.services.usage.roll_up import roll_up_usage
from control_plane.store.models import Usage
from control_plane.store.unit_of_work import Store
from penstock.api.assignments import BeginRequest, HeldRun
from penstock.api.ids import NodeId, ReplicaId
from penstock.api.states import ChipHealth, ExitReason, JobState, NodeIntent
from tests.fakes.cluster import BIG, SMALL, Cluster, a_gang, a_server, an_inventory
from tests.fakes.failing_store import Crash, FailingStore
from tests.fakes.lease_clock import CloudClock, lease_time
from tests.fakes.node_agent import FakeAgent
from tests.integration.services.invariants import Memory, broken

NODES = {"a": {BIG: 2}, "b": {SMALL: 2}, "c": {BIG: 1, SMALL: 1}}
DRIFTS = (0.99, 1.0, 1.01)
REASONS = (
    ExitReason.COMPLETED, ExitReason.ERROR, ExitReason.OUT_OF_MEMORY, ExitReason.KILLED,
    ExitReason.TIMEOUT, ExitReason.START_FAILED,
)  # fmt: skip
INTENTS = (NodeIntent.DRAINING, NodeIntent.CORDONED, NodeIntent.SCHEDULABLE)
SECONDS = (0.1, 1.0, 5.0, 16.0, 36.0, 70.0)
CLOCK_STEPS = (-86400.0, -7200.0, -3600.0, -31.0, -1.0, 1.0, 31.0, 90.0, 3600.0, 86400.0)
AROUND_EXPIRY = (-12.0, -7.0, -5.5, -0.1, 0.1, 2.0, 5.5, 5.7)
Kind = tuple[str, Callable[[str, int], dict[str, Any]]]


def _task(ranks: int, **fields: Any) -> Callable[[str, int], dict[str, Any]]:
    resources = {"chips": 1, "mix": ranks > 2}
    return lambda name, priority: a_gang(
        name, ranks, priority=priority, **{"resources": resources, **fields}
    )


KINDS: tuple[Kind, ...] = (
    ("single", _task(1)),
    ("pair", _task(2, retry={"limit": 1})),
    ("triple", _task(3, retry={"limit": 2})),
    ("part", _task(1, resources={"share": 0.5, "chip": BIG})),
    ("server", lambda name, priority: a_server(name, 1, priority=priority)),
    ("servers", lambda name, priority: a_server(name, 2, priority=priority)),
)
nodes = st.sampled_from(sorted(NODES))
some = st.integers(0, 7)


class CloudMachine(RuleBasedStateMachine):
    """`make` gives a cloud over an empty database."""

    make: Callable[[], Cluster]

    def __init__(self) -> None:
        super().__init__()
        self.cluster = type(self).make()
        self.memory = Memory()
        self.specs: dict[str, tuple[dict[str, Any], str]] = {}
        self.num_starts = 0

    @initialize(
        drifts=st.tuples(*[st.sampled_from(DRIFTS)] * len(NODES)),
        kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
        steps=st.integers(0, 4),
    )
    def begin(self, drifts: tuple[float, ...], kinds: list[Kind], steps: int) -> None:
        """Some nodes, and some work that may run already."""
        for (name, chips), drift in zip(NODES.items(), drifts, strict=True):
            self.cluster.node(name, chips, address=name).clock_rate = drift
            self.start_agent(name, same_folder=True)
        for number, kind in enumerate(kinds):
            self.submit(kind, number)
        self.cluster.steps(steps)

    # -- people --

    @rule(kind=st.sampled_from(KINDS), priority=some)
    def submit(self, kind: Kind, priority: int) -> None:
        name = f"{kind[0]}-{len(self.specs)}"
        spec = kind[1](name, priority * 10)
        self.specs[name] = (spec, self.cluster.submit(spec, key=name))

    @rule(which=some, ends=st.booleans())
    @precondition(lambda self: self.specs)
    def ask_again(self, which: int, ends: bool) -> None:
        """The same key brings the same job; an end is for good."""
        name = sorted(self.specs)[which % len(self.specs)]
        spec, job_id = self.specs[name]
        assert self.cluster.submit(spec, key=name) == job_id
        try:
            if ends:
                self.cluster.cancel(job_id)
        except Conflict:
            assert name not in self._unfinished()

    @rule(node=nodes, intent=st.sampled_from(INTENTS))
    def intend(self, node: str, intent: NodeIntent) -> None:
        self.cluster.intend(node, intent)

    # -- the daemon --

    @rule()
    def cycle(self) -> None:
        self.cluster.cycle()

    @rule()
    def sweep(self) -> None:
        self.cluster.sweep()

    @rule(node=nodes, what=st.sampled_from(["close", "silence", "cancel", "report", "depose"]))
    def change_between_plan_and_commit(self, node: str, what: str) -> None:
        changes: dict[str, Callable[[str], object]] = {
            "close": lambda node: self.cluster.intend(node, NodeIntent.CORDONED),
            "silence": self._fall_silent,
            "cancel": self._cancel_all,
            "report": lambda node: self.cluster.agents[node].tick(),
            "depose": self._depose,
        }
        try:
            self.cluster.cycle(between=lambda: changes[what](node))
        except Conflict:
            assert what in ("depose", "silence")

    @rule(part=st.sampled_from(["cycle", "sweep", "tick", "step"]), commits=st.integers(1, 4))
    def die(self, part: str, commits: int) -> None:
        """The process dies after some commit, and another one takes over."""
        store = FailingStore(self.cluster.deps.store.database, dies_at=commits)
        self._use(store)
        try:
            getattr(self.cluster, part)()
        except Crash:
            self.cluster.holder += "'"
            self.cluster.listening_since = lease_time(store)
        self._use(Store(store.database))

    # -- nodes --

    @rule(node=nodes, part=st.sampled_from(["tick", "beat", "poll", "report"]))
    def talk(self, node: str, part: str) -> None:
        agent = self.cluster.agents[node]
        if agent.online or part == "tick":
            getattr(agent, part)()

    @rule(node=nodes, which=some, reason=st.sampled_from(REASONS))
    def exit(self, node: str, which: int, reason: ExitReason) -> None:
        live = list(self.cluster.agents[node].live())
        if live:
            self.cluster.agents[node].exit(live[which % len(live)].id, reason)

    @rule(node=nodes, kind=st.sampled_from(["cut", "heal", "lose", "disobey", "reboot"]))
    def fault(self, node: str, kind: str) -> None:
        agent = self.cluster.agents[node]
        match kind:
            case "cut":
                agent.online = False
            case "heal":
                agent.online, agent.loses_replies, agent.stubborn = True, False, False
            case "lose":
                agent.loses_replies = True
            case "disobey":
                agent.stubborn = True
            case "reboot":
                agent.reboot()

    @rule(node=nodes, same_folder=st.booleans())
    def start_agent(self, node: str, same_folder: bool) -> None:
        """Another start of the agent, which goes on, or in an empty folder, which has to wait."""
        agent = self.cluster.agents[node]
        self.num_starts += 1
        own, before = f"{self.num_starts:032x}", agent.incarnation
        held = tuple(
            HeldRun(replica_id=ReplicaId(it.id), epoch=it.assignment.epoch, proven=True)
            for it in agent.processes.values()
            if same_folder
        )
        previous = (before,) if same_folder and before is not None else ()
        request = BeginRequest(incarnation=own, previous=previous, held=held)
        try:
            begin_incarnation(self.cluster.deps, NodeId(agent.node_id), request)
        except Conflict:
            assert not same_folder
            return
        agent.incarnation = own
        if not same_folder:
            assert not list(agent.live()), "nothing may run there when another one begins"
            agent.reboot()
            agent.lists.clear()

    @rule(node=nodes, kind=st.sampled_from(["fewer", "all", "sick"]))
    def offer(self, node: str, kind: str) -> None:
        """A node's chips vanish, come back, or turn sick; it tells with its next heartbeat."""
        agent = self.cluster.agents[node]
        every = an_inventory(NODES[node])
        first = every.chips[0].model_copy(update={"health": ChipHealth.UNHEALTHY})
        chips = {"fewer": every.chips[1:], "all": every.chips, "sick": (first, *every.chips[1:])}
        agent.inventory = every.model_copy(update={"chips": chips[kind]})

    @rule(node=nodes, which=st.integers(0, 20), kind=st.sampled_from(["report", "beat", "list"]))
    def repeat(self, node: str, which: int, kind: str) -> None:
        """A message of any age arrives again."""
        agent = self.cluster.agents[node]
        if kind == "report" and agent.sent:
            agent.send_again(agent.sent[which % len(agent.sent)])
        elif kind == "beat" and agent.beats:
            beat = agent.beats[which % len(agent.beats)]
            record_heartbeat(self.cluster.deps, NodeId(agent.node_id), beat, agent.incarnation)
        elif kind == "list" and agent.lists:
            agent.take(*agent.lists[which % len(agent.lists)])

    # -- time --

    @rule(seconds=st.sampled_from(SECONDS))
    def pass_time(self, seconds: float) -> None:
        self._pass(seconds)

    @rule(seconds=st.sampled_from(CLOCK_STEPS))
    def set_the_clock(self, seconds: float) -> None:
        """Somebody sets the wall clock: nothing may follow from it."""
        assert isinstance(self.cluster.clock, CloudClock)
        self.cluster.clock.step(seconds)

    @rule(node=nodes, after=st.sampled_from(AROUND_EXPIRY))
    def silence_until_the_end_of_a_lease(self, node: str, after: float) -> None:
        """The times at which one of the two clocks may already think otherwise."""
        agent = self.cluster.agents[node]
        ends = [it.expires_at for it in self.cluster.leases() if it.node_id == agent.node_id]
        if ends:
            agent.online = False
            now = lease_time(self.cluster.deps.store)
            self._pass(max(0.0, (min(ends) - now).total_seconds() + after))
            self.cluster.sweep()

    @rule()
    def step(self) -> None:
        self.cluster.step()

    @rule()
    def steps(self) -> None:
        self.cluster.steps(3, 5)

    # -- what must hold --

    @invariant()
    def every_promise_holds(self) -> None:
        assert broken(self.cluster, self.memory) == []

    def teardown(self) -> None:
        """The faults end: what can end does, and nothing is left."""
        for agent in self.cluster.agents.values():
            agent.online, agent.loses_replies, agent.stubborn = True, False, False
            self._open(agent)
        for _ in range(60):
            if not self._finish_some():
                break
        assert self._unfinished() == {}
        assert self.cluster.leases() == []
        assert broken(self.cluster, self.memory) == []
        self._check_usage()

    # -- parts --

    def _pass(self, seconds: float) -> None:
        """Supervisors need nobody to stop what passed its deadline."""
        self.cluster.clock.advance(seconds)
        for agent in self.cluster.agents.values():
            agent.enforce()

    def _fall_silent(self, _node: str) -> None:
        self._pass(16)
        self.cluster.sweep()
        self.cluster.lead()

    def _cancel_all(self, _node: str) -> None:
        for name in self._unfinished():
            self.cluster.cancel(self.specs[name][1])

    def _depose(self, _node: str) -> None:
        self.cluster.lead("z")
        self._pass(11)
        self.cluster.lead("z")

    def _use(self, store: Store) -> None:
        self.cluster.deps = replace(self.cluster.deps, store=store)
        for agent in self.cluster.agents.values():
            agent.deps = self.cluster.deps

    def _open(self, agent: FakeAgent) -> None:
        if self.cluster.node_row(agent.name).intent != NodeIntent.SCHEDULABLE:
            self.cluster.intend(agent.name, NodeIntent.SCHEDULABLE)

    def _finish_some(self) -> bool:
        """A round in which every task that runs completes and every server is called off."""
        self.cluster.steps(2, 10)
        for name in self._unfinished():
            job_id = self.specs[name][1]
            if name.startswith("server"):
                self.cluster.cancel(job_id)
            elif self.cluster.state(job_id) is JobState.RUNNING:
                for replica in self.cluster.replicas(job_id):
                    agent = self.cluster.agent_of(replica)
                    if replica.id in agent.processes:
                        agent.exit(replica.id, ExitReason.COMPLETED)
        self.cluster.tick()
        return bool(self._unfinished() or self.cluster.leases())

    def _unfinished(self) -> dict[str, str]:
        ended = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
        states = {name: self.cluster.state(job_id) for name, (_, job_id) in self.specs.items()}
        return {name: state for name, state in states.items() if state not in ended}

    def _check_usage(self) -> None:
        """Metered time is the leases' time, to the microsecond."""
        while roll_up_usage(self.cluster.deps):
            pass
        seconds = 0.0
        for lease in self.cluster.leases("released") + self.cluster.leases("expired"):
            assert lease.ended_at is not None
            held = sum(chip["milli"] for chip in lease.chips) / 1000
            seconds += (lease.ended_at - lease.granted_at).total_seconds() * held
        with self.cluster.deps.store.read() as tx:
            metered = tx._session.scalar(select(func.sum(Usage.chip_seconds))) or 0.0
        assert abs(metered - seconds) < 1e-6
