"""Somebody who leads, for tests of what needs a leader."""

from __future__ import annotations

import time

from control_plane.services.deps import Deps
from control_plane.services.scheduling.lead import Candidate, try_to_lead


def lead(deps: Deps, term_s: float = 3600.0) -> int | None:
    """The epoch: nobody else is there."""
    me = Candidate("test", term_s, alone=True)
    return try_to_lead(deps, me, deps.leader, time.monotonic())
