"""The server's parent where SQLite allows one server: it replaces one that is frozen or killed.

Standard library only, so that it costs little memory. It opens nothing of the cloud: what the
server holds, the lock on the database with it, ends with the server.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import Final, NoReturn

from control_plane.deadlines import FROZEN_S, START_S, UNHEARD_S
from penstock.last_resort import install

REFUSED: Final = 2
"""The exit code of a server that does not run as it is configured: another start is no help."""
FIRST_PAUSE_S: Final = 0.1
MOST_PAUSE_S: Final = 30.0
_TICK_S: Final = 0.25
_MOST_OF_A_TICK_S: Final = 1.0
"""A longer tick found this process itself halted, or the machine suspended or busy: the server is
given the next ones to be heard."""
_ENDS: Final = (signal.SIGTERM, signal.SIGINT)
_CAUGHT: Final = (*_ENDS, signal.SIGCHLD)
_PR_SET_PDEATHSIG: Final = 1


def watched() -> int:
    """Returns in the server's process only, with the descriptor to beat on. The parent stays in
    here, and ends the way the server did.
    """
    return _Parent().run()


class _Parent:
    """One thread with one place where it waits, so that no signal comes between two steps."""

    def __init__(self) -> None:
        self._errors = install()
        self._signals, self._woken = os.pipe()
        for descriptor in (self._signals, self._woken):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        self._handlers = {it: signal.signal(it, lambda *_: None) for it in _CAUGHT}
        self._pid = 0
        """The child that is not reaped yet; 0: there is none."""
        self._beats: int | None = None
        self._unheard_s = self._still_s = 0.0
        """Since its last beat; since its last beat or processor time."""
        self._cpu_ticks = 0
        self._asked = 0
        """The signal that told us to end."""

    def run(self) -> int:
        has_been_well, pause_s = False, FIRST_PAUSE_S
        while True:
            to_beat = self._fork()
            if to_beat is not None:
                return to_beat
            code, was_well = self._watch()
            has_been_well = has_been_well or was_well
            if -code in _ENDS:
                self._asked = self._asked or -code
            if self._asked or code == REFUSED or not has_been_well:
                self._end(code)
            pause_s = FIRST_PAUSE_S if was_well else min(2 * pause_s, MOST_PAUSE_S)
            self._log("server_ended", code=code, again_in_s=pause_s)
            self._pause(pause_s)

    def _fork(self) -> int | None:
        """In the child the descriptor to beat on, in the parent None."""
        parent = os.getpid()
        self._heard()
        self._beats, to_beat = os.pipe()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
        is_child = False
        try:
            self._pid = os.fork()
            is_child = self._pid == 0
        except OSError as error:
            self._log("server_not_started", error=str(error))
        if is_child:
            self._become_child(parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if is_child:
            os.set_blocking(to_beat, False)
            return to_beat
        os.close(to_beat)
        return None

    def _become_child(self, parent: int) -> None:
        _end_with(parent)
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._close_beats()
        os.close(self._signals)
        os.close(self._woken)

    def _watch(self) -> tuple[int, bool]:
        """Until the child has ended: its code (below zero: a signal), and whether it ever beat."""
        was_well = was_killed = False
        seen_s = time.monotonic()
        while True:
            has_beaten = self._wait(_TICK_S)
            was_well = was_well or has_beaten
            code = self._reap()
            if code is not None:
                return code, was_well
            now_s = time.monotonic()
            self._count(min(now_s - seen_s, _MOST_OF_A_TICK_S))
            seen_s = now_s
            if has_beaten:
                self._heard()
            if self._is_over(was_well):
                if was_killed and self._asked:
                    return -signal.SIGKILL, was_well  # the kernel holds it; it ends once it can
                self._kill(was_well)
                was_killed = True

    def _count(self, passed_s: float) -> None:
        cpu_ticks = _cpu_ticks(self._pid)
        self._still_s = self._still_s + passed_s if cpu_ticks == self._cpu_ticks else 0.0
        self._unheard_s += passed_s
        self._cpu_ticks = cpu_ticks

    def _heard(self) -> None:
        self._unheard_s = self._still_s = 0.0

    def _is_over(self, was_well: bool) -> bool:
        if was_well or self._asked:
            return self._still_s > FROZEN_S or self._unheard_s > UNHEARD_S
        return self._unheard_s > START_S

    def _reap(self) -> int | None:
        """How the child ended; None while it lives."""
        if self._pid:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if not pid:
                return None
            code = os.waitstatus_to_exitcode(status)
        else:
            code = 1
        self._pid = 0
        self._close_beats()
        return code

    def _kill(self, was_well: bool) -> None:
        event = "server_frozen" if was_well else "server_start_hangs"
        self._log(event, pid=self._pid, unheard_s=round(self._unheard_s, 1))
        os.kill(self._pid, signal.SIGKILL)
        self._heard()

    def _pause(self, pause_s: float) -> None:
        until_s = time.monotonic() + pause_s
        while not self._asked and (left_s := until_s - time.monotonic()) > 0:
            self._wait(left_s)
        if self._asked:
            self._end(-self._asked)

    def _wait(self, timeout_s: float) -> bool:
        """Until a signal or a beat comes, at most so long. True where it was a beat."""
        sources = [self._signals, *([self._beats] if self._beats is not None else [])]
        ready, _, _ = select.select(sources, [], [], timeout_s)
        if self._signals in ready:
            self._take_signals()
        if self._beats is None or self._beats not in ready:
            return False
        has_beaten = bool(os.read(self._beats, 4096))
        if not has_beaten:
            self._close_beats()  # it is ending
        return has_beaten

    def _take_signals(self) -> None:
        """An interrupt is passed on as SIGTERM: from a terminal the child has its own already, and
        a second one would cut its end short.
        """
        for number in os.read(self._signals, 4096):
            if number in _ENDS:
                self._asked = number
                self._heard()
                if self._pid:
                    os.kill(self._pid, signal.SIGTERM)

    def _end(self, code: int) -> NoReturn:
        """As the child ended; by the signal that we were told to end by, where one ended it."""
        if code < 0 and self._asked:
            signal.signal(self._asked, signal.SIG_DFL)
            os.kill(os.getpid(), self._asked)
        elif code < 0:
            name = signal.Signals(-code).name
            self._errors.write(f"penstock: {name} ended the server before it was ready: given up\n")
        sys.exit(code if code >= 0 else 128 - code)

    def _close_beats(self) -> None:
        if self._beats is not None:
            os.close(self._beats)
            self._beats = None

    def _log(self, event: str, **values: object) -> None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        document = {**values, "event": event, "level": "error", "timestamp": moment}
        self._errors.write(json.dumps(document) + "\n")


def _cpu_ticks(pid: int) -> int:
    """What its threads have computed so far; always 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _end_with(parent: int) -> None:
    """The server ends when its parent is killed; elsewhere than on Linux with its next beat."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
