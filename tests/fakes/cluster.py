"""A whole cloud in one thread for tests of the control plane: real services over a real
database, a clock that is moved by hand, agents in memory. Nothing happens by itself: tests
run cycles, sweeps and the agents' rounds in the order that they want to see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from unittest.mock import patch

from sqlalchemy import select

from control_plane.clock import ManualClock
from control_plane.hints.hub import Hub
from control_plane.services.accounts.projects import create_join_token
from control_plane.services.deps import Caller, Deps
from control_plane.services.endpoints.give_up import give_up_servers
from control_plane.services.jobs.cancel import cancel_job
from control_plane.services.jobs.submit import submit_job
from control_plane.services.leases.expire import expire_leases
from control_plane.services.nodes.enrol import enrol_node
from control_plane.services.nodes.intent import set_intent
from control_plane.services.nodes.watch import watch_nodes
from control_plane.services.scheduling import cycle as cycle_module
from control_plane.services.scheduling.cycle import run_cycle
from control_plane.services.scheduling.lead import Candidate, try_to_lead
from control_plane.services.scheduling.reconcile import reconcile
from control_plane.store.leader_watch import LeaderWatch
from control_plane.store.models import Endpoint, Gang, Job, Lease, Node, Replica
from penstock.api.assignments import EnrolRequest, Inventory
from penstock.api.chips import ChipReport
from penstock.api.ids import ReplicaId, TokenId
from penstock.api.specs import JobSpec
from penstock.api.states import ChipHealth, ExitReason, JobState, NodeIntent, Role
from penstock.api.tokens import JoinTokenRequest
from scheduler.model import Plan, Snapshot
from scheduler.plan import plan as real_plan
from scheduler.policies.base import Policy
from tests.fakes.lease_clock import lease_time, steady
from tests.fakes.node_agent import FakeAgent

GIB = 2**30
SERVER = "http://127.0.0.1:8470"
ADMIN = Caller(TokenId("token_0"), "root", Role.ADMIN, None, None)
BIG, SMALL = "emulated-a100", "emulated-910b"


class RecordingHub(Hub):
    """Remembers what was published."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[str] = []

    def publish(self, topic: str) -> None:
        self.published.append(topic)
        super().publish(topic)


@dataclass(slots=True)
class Cluster:
    """The rig. `holder` names this control plane in elections."""

    deps: Deps
    clock: ManualClock
    holder: str = "rig"
    agents: dict[str, FakeAgent] = field(default_factory=dict)
    listening_since: datetime = field(init=False)
    hub: RecordingHub = field(default_factory=RecordingHub)
    watches: dict[str, LeaderWatch] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.deps = replace(self.deps, hints=self.hub)
        self.listening_since = lease_time(self.deps.store)

    # -- what people do --

    def node(
        self,
        name: str,
        chips: Mapping[str, int] | None = None,
        launcher: str = "agent",
        **fields: Any,
    ) -> FakeAgent:
        """Enrols a node and lets it be heard once. One that enrolled is only heard again."""
        if name in self.agents:
            self.agents[name].beat()
            return self.agents[name]
        offered = an_inventory({BIG: 2} if chips is None else chips, **fields)
        token = create_join_token(self.deps, ADMIN, JoinTokenRequest(), SERVER).token
        request = EnrolRequest(join_token=token, name=name, inventory=offered, launcher=launcher)
        reply = enrol_node(self.deps, request)
        agent = FakeAgent(
            self.deps, self.clock, name, reply.node_id, offered, credential=reply.credential
        )
        self.agents[name] = agent
        agent.beat()
        return agent

    def submit(self, document: Mapping[str, Any], key: str | None = None) -> str:
        """The job's id."""
        return submit_job(self.deps, ADMIN, JobSpec.model_validate(document), key)[0].id

    def cancel(self, ref: str) -> None:
        cancel_job(self.deps, ADMIN, ref)

    def intend(self, node: str, intent: NodeIntent) -> None:
        set_intent(self.deps, ADMIN, node, intent, None)

    # -- what loops do --

    def cycle(self, between: Callable[[], object] | None = None) -> int:
        """One cycle as the leader; the number of gangs placed. `between` happens once the plan is
        made and before it is committed.
        """
        epoch = self.lead()
        if epoch is None:
            return 0
        with _between_plan_and_commit(between):
            return run_cycle(self.deps, epoch, "test")

    def lead(self, holder: str | None = None, term_s: float = 10.0) -> int | None:
        """A look of that holder's process at the leader, on the rig's clock; its epoch."""
        me = Candidate(holder or self.holder, term_s)
        watch = self.watches.setdefault(me.holder, LeaderWatch())
        return try_to_lead(self.deps, me, watch, steady(self.clock).timestamp())

    def sweep(self) -> None:
        expire_leases(self.deps)
        watch_nodes(self.deps, self.listening_since)
        give_up_servers(self.deps)
        reconcile(self.deps)

    def tick(self, *, start: bool = True) -> None:
        """One round of every agent; with `start`, what was starting runs at the end of it."""
        for agent in self.agents.values():
            agent.tick()
        if start:
            self.start_all()

    def start_all(self) -> None:
        """Whatever is starting on a node that can talk runs now, and is told."""
        for agent in self.agents.values():
            for process in [it for it in agent.processes.values() if it.live]:
                if agent.online:
                    agent.run(process.id, ready=process.assignment.serves)
            if agent.online:
                agent.report()

    def step(self, seconds: float = 1.0) -> None:
        """Time passes, agents talk, the daemon sweeps and decides."""
        self.clock.advance(seconds)
        self.tick()
        self.sweep()
        self.cycle()

    def steps(self, num: int, seconds: float = 1.0) -> None:
        for _ in range(num):
            self.step(seconds)

    # -- what happens on nodes --

    def finish(
        self,
        ref: str,
        reason: ExitReason = ExitReason.COMPLETED,
        rank: int = 0,
        code: int | None = None,
        **said: Any,
    ) -> None:
        """A rank of the job's present attempt ends by itself, and its agent tells; `said` are its
        last words, as fields of the exit record.
        """
        replica = next(it for it in self.replicas(ref) if it.rank == rank)
        agent = self.agent_of(replica)
        agent.exit(replica.id, reason, code, **said)
        if agent.online:
            agent.report()

    def agent_of(self, replica: Replica) -> FakeAgent:
        return next(it for it in self.agents.values() if it.node_id == replica.node_id)

    # -- what is true --

    def job(self, ref: str) -> Job:
        with self.deps.store.read() as tx:
            found = tx.jobs.find(ref, None)
            assert found is not None, ref
            return found

    def state(self, ref: str) -> JobState:
        return JobState(self.job(ref).state)

    def gangs(self, ref: str) -> list[Gang]:
        with self.deps.store.read() as tx:
            return list(tx.gangs.of_job(self.job(ref).id))

    def replicas(self, ref: str) -> list[Replica]:
        """Those of each gang's present attempt."""
        present = {gang.id: gang.attempt for gang in self.gangs(ref)}
        with self.deps.store.read() as tx:
            rows = tx.replicas.of_job(self.job(ref).id)
        return [it for it in rows if it.attempt == present[it.gang_id]]

    def leases(self, state: str = "held") -> list[Lease]:
        with self.deps.store.read() as tx:
            query = select(Lease).where(Lease.state == state).order_by(Lease.id)
            return list(tx._session.scalars(query))

    def lease(self, replica_id: str) -> Lease:
        with self.deps.store.read() as tx:
            found = tx.leases.of_replica(ReplicaId(replica_id))
            assert found is not None
            return found

    def node_row(self, name: str) -> Node:
        with self.deps.store.read() as tx:
            found = tx.nodes.find(name)
            assert found is not None
            return found

    def endpoint(self, name: str) -> Endpoint:
        with self.deps.store.read() as tx:
            found = tx.endpoints.find(name, None)
            assert found is not None
            return found

    def events(self, object_id: str) -> list[str]:
        """Types of an object's events, in order."""
        with self.deps.store.read() as tx:
            return [event.type for event in tx.events.of_object(object_id, 0, 10_000)]


@contextmanager
def _between_plan_and_commit(happening: Callable[[], object] | None) -> Iterator[None]:
    def plan(snapshot: Snapshot, policy: Policy, now: datetime) -> Plan:
        made = real_plan(snapshot, policy, now)
        if happening is not None:
            happening()
        return made

    with patch.object(cycle_module, "make_plan", plan):
        yield


def an_inventory(
    chips: Mapping[str, int], cores: int = 32, memory_bytes: int = 128 * GIB, address: str = "n"
) -> Inventory:
    """A node that offers so many chips of each type."""
    reports = tuple(
        ChipReport(
            key=f"{kind}-{number}",
            vendor="emulated",
            type=kind,
            index=number,
            memory_bytes=4 * GIB,
            cores_milli=1000,
            dtypes=("fp32", "bf16"),
            health=ChipHealth.HEALTHY,
            emulated=True,
        )
        for kind, count in chips.items()
        for number in range(count)
    )
    return Inventory(
        cores_milli=cores * 1000, memory_bytes=memory_bytes, chips=reports, address=address
    )


def a_task(name: str, chips: int = 1, **fields: Any) -> dict[str, Any]:
    """A task of one replica with so many chips, and the shortest grace."""
    spec: dict[str, Any] = {
        "type": "task", "name": name, "task": {"command": ["true"]}, "disconnect_grace": 30.0,
    }  # fmt: skip
    if chips:
        spec["resources"] = {"chips": chips}
    return {**spec, **fields}


def a_gang(name: str, ranks: int, **fields: Any) -> dict[str, Any]:
    """A task of several ranks with a chip each."""
    task = {"command": ["true"], "replicas": ranks}
    return a_task(name, 1, task=task, **fields)


def a_server(name: str, replicas: int = 1, **fields: Any) -> dict[str, Any]:
    """A serving job of so many replicas with a chip each."""
    serve = {"model": "/models/tiny", "replicas": replicas}
    return {
        "type": "serve", "name": name, "serve": serve, "disconnect_grace": 30.0,
        "resources": {"chips": 1}, **fields,
    }  # fmt: skip
