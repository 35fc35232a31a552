"""Watches the supervisors: ends what one that is frozen should have ended, or a dead one left.

Nothing is recorded as ended before all of it has gone, or its lease has: see `_is_proven`.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from agents.boottime import SECOND_NS, boottime_ns
from agents.runtimes.base import StopOrder
from agents.runtimes.process import orphans, watch
from agents.runtimes.process.folders import ReplicaFolders
from agents.runtimes.process.limits.limiter import Limiter
from agents.runtimes.process.orphans import Traces
from agents.runtimes.process.supervisor import ending, files
from agents.runtimes.process.watch import Watch
from penstock.api.ids import ReplicaId
from penstock.json_types import JsonView

log = structlog.get_logger()

_LOCK_S: Final = 0.05  # a killed supervisor needs that long at most to let go of its lock
_LOOK_S: Final = 0.002
_START_NS: Final = 2 * SECOND_NS
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_UNPROVEN: Final = (
    "this node cannot tell whether all of it ended, so the end of its lease was waited for"
)


@dataclass(slots=True)
class Overseer:
    """`adopts`: whether this process inherits the orphans of supervisors that it started."""

    folders: ReplicaFolders
    limiter: Limiter
    adopts: bool = False
    _watches: dict[ReplicaId, Watch] = field(default_factory=dict)
    _accounted: set[ReplicaId] = field(default_factory=set)  # none can escape us: see _is_proven
    _strangers: frozenset[ReplicaId] = frozenset()  # still to be ended
    _found: frozenset[ReplicaId] = frozenset()  # were strangers once: they are not started again

    def begin(self, replica_id: ReplicaId) -> None:
        """A supervisor is being started for it, by this process."""
        self._watches[replica_id] = self._recovered(replica_id)
        if self.adopts:
            self._accounted.add(replica_id)

    def renewed(self, replica_id: ReplicaId, deadline_ns: int) -> None:
        known = self._watch(replica_id)
        self._watches[replica_id] = watch.renewed(known, deadline_ns)
        with suppress(OSError):  # a restarted agent then waits for its first renewal
            files.keep_deadline(str(self.folders.path(replica_id)), deadline_ns)

    def ordered(self, replica_id: ReplicaId, order: StopOrder) -> None:
        known = self._watch(replica_id)
        self._watches[replica_id] = watch.ordered(known, order, boottime_ns())

    def is_in_time(self, replica_id: ReplicaId) -> bool:
        """False for a supervised replica that should be gone; it is then ended from here.

        A supervisor that was merely halted is continued at once: it carries logs and paces, and
        does everything in time that is left to it. So is the init below it, which tells it the end.
        """
        order = watch.overdue(self._watch(replica_id), boottime_ns())
        if order is not None:
            self._end(replica_id, order)
            return False
        traces = self._traces(replica_id)
        for pid in (self._supervisor(traces), orphans.init_of(traces)):
            if pid is not None and files.is_halted(pid):
                log.warning("supervisor_halted", replica_id=replica_id, pid=pid)
                _signal(pid, signal.SIGCONT)
        return True

    def bury(self, replica_id: ReplicaId) -> bool:
        """Writes the record of a replica whose supervisor is gone, once nothing of it lives."""
        if not self.clear(replica_id):
            return False
        started = self.folders.started(replica_id)
        complaint = self.folders.errors(replica_id)
        message = orphans.explain(started, complaint)
        if not self._is_proven(replica_id, started):
            deadline_ns = self._watch(replica_id).deadline_ns
            if deadline_ns is not None and boottime_ns() < deadline_ns:
                return False
            message = f"{message}; {_UNPROVEN}"
        failed = complaint and not started  # one that died without a word was no fault of the job's
        self._record(replica_id, "start_failed" if failed else "killed", message)
        return True

    def clear(self, replica_id: ReplicaId) -> bool:
        """Ends all of it, a supervisor that does not know this folder too; True once it is gone."""
        traces = self._traces(replica_id)
        gone = self._is_gone(traces)
        supervisor = orphans.supervisor_of(traces)
        if supervisor is None:
            return gone
        log.warning("supervisor_without_files", replica_id=replica_id, pid=supervisor)
        if gone:
            self._accounted.add(replica_id)
            _signal(supervisor, signal.SIGKILL)
        return False

    def exists(self, replica_id: ReplicaId) -> bool:
        """Whether a process of this replica is anywhere on the machine, or was when we began."""
        return replica_id in self._found or orphans.exists(self._traces(replica_id))

    def find_strangers(self) -> None:
        """Replicas that run below our folder without files there: nobody else will end them."""
        running = {ReplicaId(folder.name) for folder, _ in orphans.supervisors(self.folders.root)}
        self._found = self._strangers = frozenset(running - set(self.folders.ids()))

    def tend(self, waited_for: frozenset[int]) -> None:
        """`waited_for`: children that their starter collects."""
        self._strangers = frozenset(it for it in self._strangers if not self.clear(it))
        if self.adopts:
            orphans.reap(but=waited_for)

    def forget(self, replica_id: ReplicaId) -> None:
        self._watches.pop(replica_id, None)
        self._accounted.discard(replica_id)

    def _end(self, replica_id: ReplicaId, order: StopOrder) -> None:
        """The replica first: while its supervisor lives, whatever strays is found below it."""
        traces = self._traces(replica_id)
        supervisor = orphans.supervisor_of(traces)
        if not self._is_gone(traces):
            return
        if supervisor is not None:
            _signal(supervisor, signal.SIGKILL)
        if not self._is_unlocked(replica_id) or not self._is_gone(traces):
            return
        if self.folders.exit(replica_id) is None:
            message = "; ".join(filter(None, (order.message, watch.FROZEN)))
            self._record(replica_id, str(order.reason), message, signal.SIGKILL)

    def _is_gone(self, traces: Traces) -> bool:
        """Kills what is left and looks again; the supervisor is spared."""
        cleared = self.limiter.clear(traces.replica_id)
        return orphans.end(traces, self.adopts) and (
            cleared or self.limiter.clear(traces.replica_id)
        )

    def _is_proven(self, replica_id: ReplicaId, started: JsonView | None) -> bool:
        """Whether a dead supervisor's replica can have left nothing that was not found.

        Control groups held it; or its orphans came to this process, or its supervisor was alive
        when the rest was ended; or the end of its init ended all; or the machine was restarted.
        """
        known = started or {}
        return (
            bool(self.limiter.hierarchies)
            or replica_id in self._accounted
            or known.get("init_pid") is not None
            or known.get("boot_id", files.boot_id()) != files.boot_id()
        )

    def _is_unlocked(self, replica_id: ReplicaId) -> bool:
        until = time.monotonic() + _LOCK_S
        while self.folders.is_locked(replica_id):
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_S)
        return True

    def _record(
        self, replica_id: ReplicaId, reason: str, message: str, number: int | None = None
    ) -> None:
        code = None if number is None else ending.SIGNAL_BASE + number
        record = ending.unseen(reason, code, message, files.timestamp(time.time()))
        record["signal"] = number
        files.write_json(str(self.folders.path(replica_id)), files.EXIT, record, durable=True)
        log.warning("supervisor_gone", replica_id=replica_id, reason=reason, message=message)

    def _traces(self, replica_id: ReplicaId) -> Traces:
        return Traces(replica_id, self.folders.path(replica_id), self.folders.started(replica_id))

    def _supervisor(self, traces: Traces) -> int | None:
        """A new one, which has told nothing yet, is not looked for among all processes."""
        if traces.started is None:
            began_ns = self._watch(traces.replica_id).started_ns
            if boottime_ns() - began_ns < _START_NS:
                return None
        return orphans.supervisor_of(traces)

    def _watch(self, replica_id: ReplicaId) -> Watch:
        if replica_id not in self._watches:
            self._watches[replica_id] = self._recovered(replica_id)
        return self._watches[replica_id]

    def _recovered(self, replica_id: ReplicaId) -> Watch:
        """What the files tell; the newest deadline is not known of what an older agent started."""
        folder = str(self.folders.path(replica_id))
        spec = files.read_json(folder, files.SPEC) or {}
        return Watch(
            started_ns=self._started_ns(replica_id),
            lease_grace_s=float(spec.get("lease_grace_s", 0.0)),
            stop_grace_s=float(spec.get("stop_grace_s", 0.0)),
            max_duration_s=spec.get("max_duration_s"),
            deadline_ns=files.kept_deadline(folder),
        )

    def _started_ns(self, replica_id: ReplicaId) -> int:
        """As its supervisor told; else the supervisor's own start; else now."""
        traces = self._traces(replica_id)
        if traces.started is not None and "started_ns" in traces.started:
            return int(traces.started["started_ns"])
        supervisor = orphans.supervisor_of(traces)
        ticks = None if supervisor is None else files.start_ticks(supervisor)
        return boottime_ns() if ticks is None else ticks * SECOND_NS // _TICKS_PER_S


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
