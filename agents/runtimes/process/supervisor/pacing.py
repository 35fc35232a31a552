"""Limits for machines without usable cgroups: CPU by stopping and continuing, memory by watching.

Both are weaker than a cgroup: CPU use is evened out over tens of milliseconds, children that
ended are no longer counted, and memory may overshoot for up to one look.
"""

from __future__ import annotations

import signal

from agents.runtimes.process.supervisor import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from agents.runtimes.process.supervisor.spec import Limits

_TICK_NS: Final = 10_000_000
_LOOK_NS: Final = 100_000_000
_BURST_NS: Final = 20_000_000  # CPU time that an idle replica may save up


class Pacer:
    """Holds one replica to `cores` and `memory_bytes`. Call `tick` when `next_ns` has come.

    Its processes are those below `root`; `leader` founded the group of most of them.
    """

    def __init__(self, limits: Limits, leader: int, root: int, now_ns: int) -> None:
        self._cores = limits.cores
        self._memory_bytes = limits.memory_bytes
        self._leader = leader
        self._root = root
        self._pids: list[int] = [leader]
        self._used: dict[int, int] = {}
        self._credit_ns = float(_BURST_NS)
        self._last_ns = now_ns
        self._looked_ns = 0
        self._halted = False
        self.max_memory_bytes = 0
        self.next_ns: int | None = now_ns if self.active else None

    @property
    def active(self) -> bool:
        return self._cores is not None or self._memory_bytes is not None

    def tick(self, now_ns: int) -> bool:
        """False when the replica has more memory than it may: it is then to be killed."""
        if now_ns - self._looked_ns >= _LOOK_NS:
            self._looked_ns = now_ns
            if not self._look():
                return False
        if self._cores is not None:
            self._pace(self._cores, now_ns)
        self.next_ns = now_ns + (_LOOK_NS if self._cores is None else _TICK_NS)
        return True

    def release(self) -> None:
        """Lets the replica run, so that it can act on a signal."""
        if self._halted:
            self._signal(signal.SIGCONT)
            self._halted = False

    def _look(self) -> bool:
        self._pids = processes.descendants(self._root) or [self._leader]
        if self._memory_bytes is None:
            return True
        used = sum(processes.private_bytes(pid) for pid in self._pids)
        self.max_memory_bytes = max(self.max_memory_bytes, used)
        return used <= self._memory_bytes

    def _pace(self, cores: float, now_ns: int) -> None:
        earned = (now_ns - self._last_ns) * cores
        self._last_ns = now_ns
        self._credit_ns = min(self._credit_ns + earned, _BURST_NS) - self._spent_ns()
        if self._credit_ns < 0 and not self._halted:
            self._signal(signal.SIGSTOP)
            self._halted = True
        elif self._credit_ns >= 0:
            self.release()

    def _spent_ns(self) -> int:
        """CPU time since the last call."""
        now = {pid: processes.cpu_ns(pid) for pid in self._pids}
        spent = sum(max(0, used - self._used.get(pid, 0)) for pid, used in now.items())
        self._used = now
        return spent

    def _signal(self, number: int) -> None:
        """To the processes of this moment: a pid of the last look may be another's by now."""
        processes.kill_group_of(self._leader, number)
        processes.signal_all(processes.descendants(self._root), number)
