"""Watches over one running replica: its output, its orders, its deadlines, its end.

Started and recorded elsewhere. When the first process has ended the replica has: what is left of
it is killed, at once or, after a stop, once the grace is over.
"""

from __future__ import annotations

import os
import select
import signal
import time

from agents.boottime import SECOND_NS, boottime_ns, seconds_ns
from agents.runtimes.process.supervisor import ending, files, processes
from agents.runtimes.process.supervisor.output import Output
from agents.runtimes.process.supervisor.pacing import Pacer
from penstock.json_types import Json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from agents.runtimes.process.supervisor.child import Started
    from agents.runtimes.process.supervisor.spec import Spec

_MAX_WAIT_NS: Final = SECOND_NS  # a machine that slept wakes to a deadline that has passed
_KILL_AGAIN_NS: Final = 20_000_000
_RSS_UNIT: Final = 1024 if os.uname().sysname == "Linux" else 1
_STRAYED: Final = "its supervisor was told to end"
_EXPIRED: Final = "the lease ended before it was renewed: the control plane was not reached in time"


class Supervision:
    """One replica from its first instruction to its last."""

    def __init__(self, spec: Spec, started: Started, output_fd: int) -> None:
        self._spec = spec
        self._pid = started.pid
        self._init_pid = started.init_pid
        self._status_fd = started.status_fd
        self._root = started.init_pid or os.getpid()  # the replica's processes are below it
        self._started_ns = boottime_ns()
        self._deadline_ns = spec.deadline_ns
        self._stop: ending.Stop | None = None
        self._kill_at_ns: int | None = None
        self._over_memory = False
        self._killing = False
        self._status: int | None = None  # of the first process
        self._ended_ns = 0
        self._alone = False  # no process of the replica is left
        self._cpu_s = 0.0
        self._max_rss = 0
        self._signalled = False
        self._output = Output(
            output_fd,
            os.path.join(spec.folder, files.LOG),
            spec.log_cap_bytes,
            seconds_ns(spec.log_patience_s),
        )
        self._reading = False
        self._control = files.open_fifo(os.path.join(spec.folder, files.CONTROL))
        self._pacer = Pacer(spec.limits, self._pid, self._root, self._started_ns)
        self._poll = select.poll()
        self._woken = self._listen()

    def run(self) -> Json:
        """The exit record, once the last process of the replica has gone."""
        self._reap()
        while not self._alone:
            self._wait()
            self._act(boottime_ns())
            self._reap()
        self._output.drain()
        return self._record()

    def kill(self) -> None:
        """Ends whatever is left of the replica, now."""
        while not self._alone:
            self._kill_once()
            time.sleep(_KILL_AGAIN_NS / SECOND_NS)
            self._reap()

    def _kill_once(self) -> None:
        """An init goes by itself, and has then counted all; what resists it takes along."""
        processes.kill_group_of(self._pid, signal.SIGKILL)
        processes.kill_all(self._spec.limits, os.getpid() if self._killing else self._root)

    def _listen(self) -> int:
        read_fd, write_fd = os.pipe()
        for descriptor in (read_fd, write_fd):
            os.set_blocking(descriptor, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told_to_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        for source in (read_fd, self._control, self._status_fd):
            if source is not None:
                self._poll.register(source, select.POLLIN)
        return read_fd

    def _told_to_end(self, *_: object) -> None:
        self._signalled = True

    def _read_or_not(self) -> None:
        """What is not polled wakes nobody: the output of a replica that has to wait does not."""
        wanted = self._output.wants(boottime_ns())
        if wanted and not self._reading:
            self._poll.register(self._output.source_fd, select.POLLIN)
        elif self._reading and not wanted:
            self._poll.unregister(self._output.source_fd)
        self._reading = wanted

    def _wait(self) -> None:
        self._read_or_not()
        for descriptor, _ in self._poll.poll(self._timeout_ms()):
            if descriptor == self._output.source_fd:
                self._output.pump()
            elif descriptor == self._control:
                self._obey(os.read(self._control, 1 << 16).decode(errors="replace"))
            elif descriptor == self._status_fd:
                self._hear_status()
            else:
                os.read(self._woken, 1 << 12)

    def _timeout_ms(self) -> int:
        now = boottime_ns()
        moments = [now + _MAX_WAIT_NS]
        moments += [at for at in (self._pacer.next_ns, self._kill_at_ns) if at is not None]
        if self._deadline_ns > now or self._kill_at_ns is None:
            moments.append(self._deadline_ns)
        if self._spec.max_duration_s is not None and self._stop is None:
            moments.append(self._started_ns + seconds_ns(self._spec.max_duration_s))
        return max(0, -((now - min(moments)) // 1_000_000))

    def _act(self, now: int) -> None:
        spec = self._spec
        if self._signalled:
            self._end("killed", _STRAYED, now + seconds_ns(spec.stop_grace_s))
        if spec.max_duration_s is not None and (
            now >= self._started_ns + seconds_ns(spec.max_duration_s)
        ):
            message = f"it ran for longer than its max_duration of {spec.max_duration_s:g} s"
            self._end("timeout", message, now + seconds_ns(spec.stop_grace_s))
        if now >= self._deadline_ns:
            self._end("lease_expired", _EXPIRED, self._deadline_ns + seconds_ns(spec.lease_grace_s))
        if self._pacer.next_ns is not None and now >= self._pacer.next_ns:
            self._over_memory |= not self._pacer.tick(now)
        self._kill_when_due(now)

    def _kill_when_due(self, now: int) -> None:
        ended = self._status is not None and self._stop is None
        due = self._kill_at_ns is not None and now >= self._kill_at_ns
        if not self._alone and (ended or due or self._over_memory):
            self._kill_at_ns = now + _KILL_AGAIN_NS
            self._kill_once()
            self._killing = True

    def _obey(self, text: str) -> None:
        """Carries out whole lines; what is not understood or of another epoch changes nothing."""
        for line in text.splitlines():
            word, *values = line.split(" ", 3)
            if word == "shipped" and len(values) == 1 and values[0].isdigit():
                self._output.note_shipped(int(values[0]), boottime_ns())
            elif values and values[0] == str(self._spec.epoch):
                self._order(word, values[1:])

    def _order(self, word: str, values: list[str]) -> None:
        if word == "renew" and len(values) == 1 and values[0].isdigit():
            self._deadline_ns = max(self._deadline_ns, int(values[0]))
        elif word == "stop" and len(values) == 2 and values[1].partition(" ")[0].isdigit():
            grace_ms, _, message = values[1].partition(" ")
            self._end(values[0], message, boottime_ns() + int(grace_ms) * 1_000_000)

    def _end(self, reason: str, message: str, kill_at_ns: int) -> None:
        """Asks the replica to end. The first reason counts; a later order may only hurry."""
        if self._killing or (self._status is not None and self._stop is None):
            return  # it has ended by itself
        if self._kill_at_ns is None or kill_at_ns < self._kill_at_ns:
            self._kill_at_ns = kill_at_ns
        if self._stop is None:
            self._stop = ending.Stop(reason, message)
            self._pacer.release()
            self._output.hurry()
            processes.kill_group_of(self._pid, signal.SIGTERM)

    def _reap(self) -> None:
        """Collects every process that has ended, the replica's first one and its orphans."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._alone = True
                return
            if pid == 0:
                break
            self._cpu_s += usage.ru_utime + usage.ru_stime
            self._max_rss = max(self._max_rss, usage.ru_maxrss * _RSS_UNIT)
            if pid == (self._init_pid or self._pid):
                self._hear_status()
                self._note_end(status)
        if self._status is not None:
            self._kill_when_due(boottime_ns())

    def _hear_status(self) -> None:
        """What the init says of the replica's first process; nothing when it was killed itself."""
        if self._status_fd is None:
            return
        try:
            text = os.read(self._status_fd, 16)
        except BlockingIOError:
            return
        if text:
            self._note_end(int(text))
        self._poll.unregister(self._status_fd)
        os.close(self._status_fd)
        self._status_fd = None

    def _note_end(self, status: int) -> None:
        if self._status is None:
            self._status, self._ended_ns = status, boottime_ns()

    def _record(self) -> Json:
        limits = self._spec.limits
        seen = ending.Ending(
            self._status or 0,
            self._stop,
            _count(limits.oom_file, "oom_kill"),
            self._over_memory,
            limits.memory_limit_bytes,
        )
        peak = _count(limits.peak_file) or max(self._max_rss, self._pacer.max_memory_bytes)
        usage = {
            "cpu_s": round(self._cpu_s, 6),
            "max_memory_bytes": peak,
            "wall_s": round((self._ended_ns - self._started_ns) / SECOND_NS, 6),
        }
        return ending.record(seen, files.timestamp(time.time()), usage)


def _count(path: str | None, key: str = "") -> int:
    """The number behind `key` in a cgroup file, or its only number; 0 where it cannot be read."""
    try:
        with open(path or "", encoding="ascii") as file:
            words = file.read().split()
    except OSError:
        return 0
    at = words.index(key) + 1 if key in words else 0
    return int(words[at]) if len(words) > at and words[at].isdigit() else 0
