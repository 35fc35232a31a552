"""Keeps the lead of the scheduler, or watches who has it, from a thread of its own: a long cycle
does not cost the lead, and every process knows whether anybody has it.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import Final

import structlog

from control_plane.hints.hub import Hub
from control_plane.hints.topics import CYCLE
from control_plane.services.deps import Deps
from control_plane.services.scheduling.lead import Candidate, look_at_leader, resign, try_to_lead
from control_plane.threads import KeptThread

log = structlog.get_logger()

LOOKS_IN_A_TERM: Final = 6
SURE_OF_TERM: Final = 2 / 3
"""A leader that could not renew for so much of its term decides nothing more: the others wait for
all of it."""
IDLE_S: Final = 300.0
"""A leader whose daemon has not asked for so long does not decide: then another one should."""


class Leading:
    """Says under which epoch this process leads now, by its own monotonic clock."""

    def __init__(
        self, deps: Deps, hub: Hub, term_s: float, *, wants: bool = True, alone: bool = False
    ) -> None:
        """`wants` False only watches. `alone`: no other process can be there, as on SQLite."""
        self._deps = deps
        self._hub = hub
        self._me = Candidate(secrets.token_hex(8), term_s, alone)
        self._wants = wants
        self._epoch: int | None = None
        self._renewed_s = 0.0
        self._asked_s = time.monotonic()
        self._stopping = threading.Event()
        self._thread = KeptThread("leading", self._run, self._stopping)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Resigns. The daemon has stopped by then."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def epoch(self) -> int | None:
        """What the daemon may decide under; None where it is not, or not surely, the leader's."""
        self._asked_s = now_s = time.monotonic()
        is_sure = now_s < self._renewed_s + SURE_OF_TERM * self._me.term_s
        return self._epoch if is_sure else None

    def deposed(self) -> None:
        """A commit was refused: another one leads."""
        self._epoch = None

    def _run(self) -> None:
        looks = LOOKS_IN_A_TERM / 2 if self._me.alone else LOOKS_IN_A_TERM
        while True:
            try:
                self._step()
            except Exception:  # process loop: one failed look must not end the watch
                log.exception("leadership_not_seen")
            if self._stopping.wait(self._me.term_s / looks):
                break
        self._resign()

    def _step(self) -> None:
        now_s = time.monotonic()
        if not self._wants or now_s - self._asked_s > IDLE_S:
            look_at_leader(self._deps, self._deps.leader, now_s)
            return
        epoch = try_to_lead(self._deps, self._me, self._deps.leader, now_s)
        self._renewed_s, before = now_s, self._epoch
        self._epoch = epoch
        if epoch != before:
            log.info("leadership", epoch=epoch)
            self._hub.deliver(CYCLE)

    def _resign(self) -> None:
        if self._epoch is None:
            return
        self._epoch = None
        try:
            resign(self._deps, self._me.holder)
        except Exception:  # process loop: we leave anyway, the term runs out by itself
            log.exception("resign_failed")
