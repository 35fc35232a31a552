"""Which constraint keeps a gang off: a pool on which nothing runs, or hosts beside what runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scheduler.model import Code, Gang
from scheduler.place.feasibility import PIPELINE, STATE_AT, Survey
from scheduler.place.gang import Supply, seat_gang
from scheduler.snapshot.columns import Layout
from scheduler.snapshot.host import member_share


def obstacle_when_empty(gang: Gang, empty: Supply, survey: Survey) -> Code:
    """The constraint without which an empty pool would do."""
    return state_code(gang, empty.layout, survey) or host_code(gang, empty)


def state_code(gang: Gang, layout: Layout, survey: Survey) -> Code | None:
    """The first constraint of the pipeline without which there would be room; None: the hosts are
    too small. What a member takes of its host is looked at only where it asks for no chip.
    """
    return survey.binding(gang) if gang.request.chips else _closed(gang, layout)


def host_code(gang: Gang, supply: Supply) -> Code:
    """Whether host cores or host memory keeps the gang off: memory if it alone does."""
    weightless = replace(gang.request, host_memory_bytes=0)
    fits = seat_gang(replace(gang, request=weightless), supply) is not None
    return Code.HOST_MEMORY if fits else Code.HOST_CORES


def fits_but_for_its_host(gang: Gang, supply: Supply) -> bool:
    """Whether the chips alone are there."""
    weightless = replace(gang.request, cores_milli=0, host_memory_bytes=0)
    return seat_gang(replace(gang, request=weightless), supply) is not None


def _closed(gang: Gang, layout: Layout) -> Code | None:
    """For members without chips: the first state whose nodes are needed; None: all are too few."""
    need = member_share((), (), gang.request)
    members = np.minimum(
        layout.cores // max(1, need.cores_milli), layout.memory // max(1, need.memory_bytes)
    )
    state = STATE_AT[layout.state]
    if members.sum() < gang.least:
        return None
    for at, code in enumerate(PIPELINE):
        if members[state > at].sum() < gang.least:
            return code
    return None
