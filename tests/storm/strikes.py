"""Carries out the faults of a plan on a running cloud, and heals them."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import psutil
import psycopg

from agents.node import identity
from control_plane.deadlines import FROZEN_S
from tests.storm.cloud import Cloud, Node, Process, copy_state
from tests.storm.evidence import SECOND_NS, Silence
from tests.storm.plan import STEPS_S, Strike
from tests.storm.submitter import Submitter

RECOVER_S: Final = 15.0
"""A server may take so long to answer again after what was done to it is over."""
EVIL_S: Final = 60.0
REPLACED_S: Final = FROZEN_S + 4.0
"""A server's parent needs no longer to end it where it is frozen."""
WRITES_WITHIN_S: Final = 2.0
HELD_EVERY_S: Final = 0.005
SILENCING: Final = (
    "kill_agent", "freeze_agent", "cut_both", "cut_up", "cut_down", "cut_under_step", "late",
)  # fmt: skip
Heal = Callable[[], None]


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class Active:
    """A fault that is not healed yet."""

    strike: Strike
    since_ns: int
    heal: Heal


@dataclass(slots=True)
class Striker:
    """What was done, in the words of the findings, and what the audit needs to know of it."""

    cloud: Cloud
    submitter: Submitter
    silences: list[Silence] = field(default_factory=list)
    disturbed: list[tuple[str, int, int]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def begin(self, title: str) -> None:
        """Of a round: counts anew."""
        self.done.append(title)
        self.struck, self.left_out = Counter(), Counter()

    def inject(self, strike: Strike) -> Active | None:
        """None where there was nothing to strike at that moment."""
        since_ns = now_ns()
        try:
            heal = getattr(self, f"_{strike.fault.name}")(strike)
        except (OSError, LookupError, psutil.Error, psycopg.Error, httpx.HTTPError) as error:
            self.done.append(f"{strike.text}: left out, {type(error).__name__}: {error}"[:200])
            return None
        self.struck[strike.fault.name] += 1
        self.done.append(strike.text)
        return Active(strike, since_ns, heal)

    def heal(self, active: Active) -> None:
        until_ns, strike = now_ns(), active.strike
        with suppress(OSError, LookupError, psutil.Error, httpx.HTTPError):
            active.heal()
        kind, _, name = strike.target.partition(" ")
        is_replaced = strike.fault.name == "freeze_server_child"
        over_ns = min(until_ns, active.since_ns + int(REPLACED_S * SECOND_NS))
        back_ns = (over_ns if is_replaced else now_ns()) + int(RECOVER_S * SECOND_NS)
        self.silences += [
            Silence(node, active.since_ns, until_ns)
            for node in self._silent(strike.fault.name, name)
        ]
        if kind in ("server", "database", "disk") or strike.fault.name == "kill_under_step":
            servers = [name] if kind == "server" else list(self.cloud.ports)
            self.disturbed += [(it, active.since_ns, back_ns) for it in servers]

    def _silent(self, fault: str, name: str) -> list[str]:
        """Nodes that can have heard nothing while this fault was at its target."""
        if fault in SILENCING:
            return [name]
        is_only_server = fault == "kill_server" and len(self.cloud.ports) == 1
        return list(self.cloud.nodes) if is_only_server else []

    def _node(self, strike: Strike) -> Node:
        return self.cloud.nodes[strike.target.removeprefix("node ").removeprefix("clock ")]

    def _server(self, strike: Strike) -> Process:
        return self.cloud.servers[strike.target.removeprefix("server ")]

    def _kill_server(self, strike: Strike) -> Heal:
        server = self._server(strike)
        server.kill()
        return server.start

    def _freeze_server(self, strike: Strike) -> Heal:
        server = self._server(strike)
        server.signal(signal.SIGSTOP)
        return lambda: server.signal(signal.SIGCONT)

    def _kill_server_child(self, strike: Strike) -> Heal:
        """Its parent starts another."""
        self._server(strike).child().kill()
        return _nothing

    def _freeze_server_child(self, strike: Strike) -> Heal:
        """Its parent ends it and starts another, unless it is continued before."""
        child = self._server(strike).child()
        child.suspend()
        return child.resume

    def _freeze_writer(self, strike: Strike) -> Heal:
        """A server within a transaction that keeps all others from writing."""
        server, postgres = self._server(strike), self.cloud.postgres
        assert postgres is not None
        until = time.monotonic() + WRITES_WITHIN_S
        with postgres.watched() as silent_writer:
            while time.monotonic() < until:
                server.signal(signal.SIGSTOP)
                if _stays(silent_writer):
                    return lambda: server.signal(signal.SIGCONT)
                server.signal(signal.SIGCONT)
                time.sleep(strike.value / 100)
        raise LookupError("it wrote nothing just then")

    def _kill_agent(self, strike: Strike) -> Heal:
        agent = self._node(strike).agent
        agent.kill()
        return agent.start

    def _freeze_agent(self, strike: Strike) -> Heal:
        agent = self._node(strike).agent
        agent.signal(signal.SIGSTOP)
        return lambda: agent.signal(signal.SIGCONT)

    def _kill_job(self, strike: Strike) -> Heal:
        jobs = [child for it in self._supervisors(strike) for child in it.children(recursive=True)]
        _one(jobs, strike.value).kill()
        return _nothing

    def _cut_both(self, strike: Strike) -> Heal:
        way = self._node(strike).way
        way.cut(up=True, down=True)
        return way.heal

    def _cut_up(self, strike: Strike) -> Heal:
        way = self._node(strike).way
        way.cut(up=True, down=False)
        return way.heal

    def _cut_down(self, strike: Strike) -> Heal:
        way = self._node(strike).way
        way.cut(up=False, down=True)
        return way.heal

    def _delay(self, strike: Strike) -> Heal:
        way = self._node(strike).way
        way.delay_s = 0.05 + 2 * strike.value
        return way.heal

    def _repeat(self, strike: Strike) -> Heal:
        way = self._node(strike).way
        way.repeats_within_s = 1.0 + 20 * strike.value
        return way.heal

    def _late(self, strike: Strike) -> Heal:
        way = self._node(strike).way
        way.late_by_s = 5.0 + 55 * strike.value
        return way.heal

    def _step_server_clock(self, strike: Strike) -> Heal:
        """Stays as it was set: time goes on from there."""
        if self.cloud.server_clock is None:
            raise LookupError("no compiler, so no clock to step")
        self.cloud.server_clock.step(STEPS_S[int(strike.value * len(STEPS_S))])
        return _nothing

    def _step_node_clock(self, strike: Strike) -> Heal:
        clock = self._node(strike).clock
        if clock is None:
            raise LookupError("no compiler, so no clock to step")
        clock.step(STEPS_S[int(strike.value * len(STEPS_S))])
        return _nothing

    def _cut_under_step(self, strike: Strike) -> Heal:
        """The servers' clock leaps as a node falls silent: its leases must not end sooner."""
        if self.cloud.server_clock is None:
            raise LookupError("no compiler, so no clock to step")
        self.cloud.server_clock.step(0.0)
        time.sleep(0.2)
        heal = self._cut_both(strike)
        self.cloud.server_clock.step(90.0 + 3600 * strike.value)
        return heal

    def _kill_under_step(self, _strike: Strike) -> Heal:
        """All servers begin anew under a clock far ahead, and later under one far behind: nobody
        may wait for a time to come. No step comes there again.
        """
        self._restart_all(2 * max(STEPS_S))
        return lambda: self._restart_all(min(STEPS_S))

    def _restart_all(self, offset_s: float) -> None:
        clock, servers = self.cloud.server_clock, self.cloud.servers.values()
        if clock is None:
            raise LookupError("no compiler, so no clock to step")
        for server in servers:
            server.kill()
        clock.step(offset_s)
        for server in servers:
            server.start()

    def _reuse_name(self, strike: Strike) -> Heal:
        """The agent dies, its supervisors live; an empty folder enrols under the node's name."""
        node = self._node(strike)
        token = self.cloud.join_token()
        node.agent.kill()
        node.agent = self.cloud.agent(node, self.cloud.new_folder(node), token)
        node.agent.start()
        return _nothing

    def _run_copy(self, strike: Strike) -> Heal:
        """A copy of the state folder runs beside the original; one of them stays, by chance."""
        node = self._node(strike)
        node.copy = self._copied(node)
        node.copy.start()

        def heal() -> None:
            copy, node.copy = node.copy, None
            if copy is None:
                return
            leaving, node.agent = (copy, node.agent) if strike.value < 0.7 else (node.agent, copy)
            leaving.kill()

        return heal

    def _swap_copy(self, strike: Strike) -> Heal:
        """The agent ends, a copy of its folder runs for a while, then the original again."""
        node = self._node(strike)
        _joined(node)
        node.agent.kill()
        node.copy = self._copied(node)
        node.copy.start()

        def heal() -> None:
            if node.copy is not None:
                node.copy.kill()
            node.copy = None
            node.agent.start()

        return heal

    def _restore_older(self, strike: Strike) -> Heal:
        """The folder is copied, the original runs on for a while and is replaced by the copy."""
        node = self._node(strike)
        older = self._copied(node)

        def heal() -> None:
            node.agent.kill()
            node.agent = older
            node.agent.start()

        return heal

    def _copied(self, node: Node) -> Process:
        present = _joined(node)
        made = self.cloud.new_folder(node)
        copy_state(present, made)
        return self.cloud.agent(node, made, None)

    def _halt_supervisor(self, strike: Strike) -> Heal:
        """Once: whoever looks after it may continue it. Where that is long, nobody else does."""
        halted = _one(self._supervisors(strike), strike.value)
        halted.suspend()

        def heal() -> None:
            if strike.for_s < 10 and halted.is_running():
                halted.resume()

        return heal

    def _freeze_supervisor(self, strike: Strike) -> Heal:
        """Again and again, so that nobody can continue it."""
        frozen, thawed = _one(self._supervisors(strike), strike.value), threading.Event()

        def hold() -> None:
            with suppress(psutil.NoSuchProcess):
                while not thawed.wait(HELD_EVERY_S):
                    frozen.suspend()
                frozen.resume()

        frozen.suspend()
        threading.Thread(target=hold, name="hold", daemon=True).start()
        return thawed.set

    def _kill_supervisor(self, strike: Strike) -> Heal:
        _one(self._supervisors(strike), strike.value).kill()
        return _nothing

    def _job_freezes_parent(self, strike: Strike) -> Heal:
        node = self._node(strike)
        self.submitter.submit_on(node.name, "freeze", EVIL_S, strike.for_s)
        return _nothing

    def _job_leaves_stray(self, strike: Strike) -> Heal:
        node = self._node(strike)
        self.submitter.submit_on(node.name, "stray", EVIL_S, strike.for_s)
        return _nothing

    def _fill_server_disk(self, _strike: Strike) -> Heal:
        disk = self.cloud.server_disk
        if disk is None:
            raise LookupError("no disk of its own")
        disk.fill()
        return disk.free

    def _fill_node_disk(self, strike: Strike) -> Heal:
        disk = self._node(strike).disk
        if disk is None:
            raise LookupError("no disk of its own")
        disk.fill()
        return disk.free

    def _kill_database(self, _strike: Strike) -> Heal:
        assert self.cloud.postgres is not None
        self.cloud.postgres.kill()
        return self.cloud.postgres.start

    def _freeze_database(self, _strike: Strike) -> Heal:
        assert self.cloud.postgres is not None
        self.cloud.postgres.freeze()
        return self.cloud.postgres.thaw

    def _flush_redis(self, _strike: Strike) -> Heal:
        assert self.cloud.redis is not None
        self.cloud.redis.flush()
        return _nothing

    def _kill_redis(self, _strike: Strike) -> Heal:
        assert self.cloud.redis is not None
        self.cloud.redis.kill()
        return self.cloud.redis.start

    def _freeze_redis(self, _strike: Strike) -> Heal:
        assert self.cloud.redis is not None
        self.cloud.redis.freeze()
        return self.cloud.redis.thaw

    def _supervisors(self, strike: Strike) -> list[psutil.Process]:
        return self.cloud.supervisors(self._node(strike))


def _one(found: list[psutil.Process], value: float) -> psutil.Process:
    """Raises LookupError where there is none."""
    if not found:
        raise LookupError("nothing runs there")
    return found[int(value * len(found))]


def _stays(silent_writer: Callable[[], object]) -> bool:
    """Whether it is the same transaction at two looks."""
    first = silent_writer()
    if first is None:
        return False
    time.sleep(0.05)
    return silent_writer() == first


def _joined(node: Node) -> Path:
    """The node's present folder. Raises LookupError where its agent has no identity yet."""
    present = Path(node.agent.command[node.agent.command.index("--state-dir") + 1])
    if identity.load(present) is None:
        raise LookupError("its agent waits to enrol")
    return present


def _nothing() -> None:
    return None
