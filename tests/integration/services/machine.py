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
from control_plane.services.lead import try_to_lead
from control_plane.services.record_heartbeat import record_heartbeat
from control_plane.services.roll_up_usage import roll_up_usage
from control_plane.store.models import Usage
from control_plane.store.unit_of_work import Store
from penstock.api.states import ExitReason, JobState, NodeIntent
from tests.fakes.cluster import BIG, SMALL, Cluster, a_gang, a_server
from tests.fakes.failing_store import Crash, FailingStore
from tests.fakes.node_agent import FakeAgent
from tests.integration.services.invariants import Memory, broken

NODES = {"a": {BIG: 2}, "b": {SMALL: 2}, "c": {BIG: 1, SMALL: 1}}
DRIFTS = (0.99, 1.0, 1.01)
REASONS = (
    ExitReason.COMPLETED, ExitReason.ERROR, ExitReason.OUT_OF_MEMORY, ExitReason.KILLED,
    ExitReason.TIMEOUT, ExitReason.START_FAILED,
)  # fmt: skip
SECONDS = (0.1, 1.0, 5.0, 16.0, 36.0, 70.0)
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

    @initialize(drifts=st.tuples(*[st.sampled_from(DRIFTS)] * len(NODES)))
    def enrol(self, drifts: tuple[float, ...]) -> None:
        for (name, chips), drift in zip(NODES.items(), drifts, strict=True):
            self.cluster.node(name, chips, address=name).clock_rate = drift

    # -- people --

    @rule(ranks=st.integers(1, 3), priority=some, retries=st.integers(0, 2), mix=st.booleans())
    def submit_task(self, ranks: int, priority: int, retries: int, mix: bool) -> None:
        name = f"task-{len(self.specs)}"
        spec = a_gang(name, ranks, priority=priority * 10, retry={"limit": retries})
        spec["resources"] = {"chips": 1, "mix": mix}
        self._submit(name, spec)

    @rule(milli=st.sampled_from([300, 500]), kind=st.sampled_from([BIG, SMALL]))
    def submit_fraction(self, milli: int, kind: str) -> None:
        name = f"part-{len(self.specs)}"
        spec = a_gang(name, 1)
        spec["resources"] = {"share": milli / 1000, "chip": kind}
        self._submit(name, spec)

    @rule(replicas=st.integers(1, 2), priority=some)
    def submit_server(self, replicas: int, priority: int) -> None:
        name = f"server-{len(self.specs)}"
        self._submit(name, a_server(name, replicas, priority=priority * 10))

    @rule(which=some)
    @precondition(lambda self: self.specs)
    def submit_again(self, which: int) -> None:
        """The answer was lost: the same key brings the same job."""
        name = sorted(self.specs)[which % len(self.specs)]
        spec, job_id = self.specs[name]
        assert self.cluster.submit(spec, key=name) == job_id

    @rule(which=some)
    @precondition(lambda self: self.specs)
    def cancel(self, which: int) -> None:
        job_id = list(self.specs.values())[which % len(self.specs)][1]
        try:
            self.cluster.cancel(job_id)
        except Conflict:
            assert job_id not in {self.specs[name][1] for name in self._unfinished()}

    @rule(node=nodes, intent=st.sampled_from([NodeIntent.DRAINING, NodeIntent.CORDONED]))
    def close(self, node: str, intent: NodeIntent) -> None:
        self.cluster.intend(node, intent)

    @rule(node=nodes)
    def open(self, node: str) -> None:
        self.cluster.intend(node, NodeIntent.SCHEDULABLE)

    # -- the daemon --

    @rule()
    def cycle(self) -> None:
        self.cluster.cycle()

    @rule()
    def sweep(self) -> None:
        self.cluster.sweep()

    @rule(part=st.sampled_from(["cycle", "sweep", "tick", "step"]), commits=st.integers(1, 4))
    def die(self, part: str, commits: int) -> None:
        """The process dies after some commit, and another one takes over."""
        store = FailingStore(self.cluster.deps.store.database, dies_at=commits)
        self._use(store)
        try:
            getattr(self.cluster, part)()
        except Crash:
            self.cluster.listening_since = self.cluster.clock.now()
        self._use(Store(store.database))

    @rule(holder=st.sampled_from(["x", "y"]))
    def change_leader(self, holder: str) -> None:
        if try_to_lead(self.cluster.deps, holder, 10.0) is not None:
            self.cluster.holder = holder

    # -- nodes --

    @rule(node=nodes, part=st.sampled_from(["tick", "beat", "poll", "report"]))
    def talk(self, node: str, part: str) -> None:
        agent = self.cluster.agents[node]
        if agent.online or part == "tick":
            getattr(agent, part)()

    @rule()
    def start_all(self) -> None:
        self.cluster.start_all()

    @rule(node=nodes, which=some, reason=st.sampled_from(REASONS))
    def exit(self, node: str, which: int, reason: ExitReason) -> None:
        live = list(self.cluster.agents[node].live())
        if live:
            self.cluster.agents[node].exit(live[which % len(live)].id, reason)

    @rule(node=nodes)
    def cut_off(self, node: str) -> None:
        self.cluster.agents[node].online = False

    @rule(node=nodes)
    def heal(self, node: str) -> None:
        agent = self.cluster.agents[node]
        agent.online, agent.loses_replies, agent.stubborn = True, False, False

    @rule(node=nodes)
    def lose_replies(self, node: str) -> None:
        self.cluster.agents[node].loses_replies = True

    @rule(node=nodes)
    def stop_obeying(self, node: str) -> None:
        self.cluster.agents[node].stubborn = True

    @rule(node=nodes)
    def reboot(self, node: str) -> None:
        self.cluster.agents[node].reboot()

    @rule(node=nodes, which=st.integers(0, 20), kind=st.sampled_from(["report", "beat", "list"]))
    def repeat(self, node: str, which: int, kind: str) -> None:
        """A message of any age arrives again."""
        agent = self.cluster.agents[node]
        if kind == "report" and agent.sent:
            agent.send_again(agent.sent[which % len(agent.sent)])
        elif kind == "beat" and agent.beats:
            beat = agent.beats[which % len(agent.beats)]
            record_heartbeat(self.cluster.deps, agent.node_id, beat)
        elif kind == "list" and agent.lists:
            agent.take(*agent.lists[which % len(agent.lists)])

    @rule(seconds=st.sampled_from(SECONDS))
    def pass_time(self, seconds: float) -> None:
        """Supervisors need nobody to stop what passed its deadline."""
        self.cluster.clock.advance(seconds)
        for agent in self.cluster.agents.values():
            agent.enforce()

    @rule()
    def step(self) -> None:
        self.cluster.step()

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

    def _submit(self, name: str, spec: dict[str, Any]) -> None:
        self.specs[name] = (spec, self.cluster.submit(spec, key=name))

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
            metered = tx.session.scalar(select(func.sum(Usage.chip_seconds))) or 0.0
        assert abs(metered - seconds) < 1e-6
