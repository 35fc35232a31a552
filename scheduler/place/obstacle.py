"""Which constraint keeps a gang off: a pool on which nothing runs, or hosts beside what runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduler.model import Code, Gang, Node
from scheduler.place.feasibility import PIPELINE, Survey
from scheduler.place.gang import Supply, seat_gang
from scheduler.snapshot.columns import Layout
from scheduler.snapshot.host import member_share


def obstacle_when_empty(gang: Gang, empty: Supply, survey: Survey) -> Code:
    """The constraint without which an empty pool would do."""
    code = survey.binding(gang) if gang.request.chips else _closed(gang, empty.layout)
    return code or host_code(gang, empty)


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
    nodes = [site.node for site in layout.sites]
    if _members_on(gang, nodes) < gang.least:
        return None
    for code in PIPELINE:
        nodes = [it for it in nodes if it.closed is None or it.closed.value != code.value]
        if _members_on(gang, nodes) < gang.least:
            return code
    return None


def _members_on(gang: Gang, nodes: Sequence[Node]) -> int:
    """Members without chips that these nodes would hold if nothing ran on them."""
    need = member_share((), (), gang.request)
    return sum(
        min(
            it.cores_milli // max(1, need.cores_milli),
            it.memory_bytes // max(1, need.memory_bytes),
        )
        for it in nodes
    )
