"""What a member takes of its host: as the request names it, else the share of its chips.

CPU chips and emulated chips thereby draw on the same counters as everything else on the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from scheduler.model import (
    TASK_CORES_MILLI,
    TASK_MEMORY_BYTES,
    WHOLE,
    Chip,
    HostShare,
    MemberRequest,
    Node,
)

NOTHING: Final = HostShare(0, 0)


def member_share(
    shares: Sequence[HostShare], positions: Sequence[int], request: MemberRequest
) -> HostShare:
    """What a member at these chips takes; `shares` is what each whole chip of the node takes."""
    parts = [_part(shares[position], request.milli) for position in positions]
    cores_milli, memory_bytes = request.cores_milli, request.host_memory_bytes
    if cores_milli is None:
        cores_milli = sum(it.cores_milli for it in parts) if positions else TASK_CORES_MILLI
    if memory_bytes is None:
        memory_bytes = sum(it.memory_bytes for it in parts) if positions else TASK_MEMORY_BYTES
    return HostShare(cores_milli, memory_bytes)


def chip_shares(node: Node, chips: Iterable[Chip]) -> tuple[HostShare, ...]:
    """What each whole chip of the node takes of its host.

    Cores: as the chip declares, else an even part of the node. Memory: an emulated chip's memory
    is host memory; every other chip takes memory in proportion to its cores.
    """
    undeclared = sum(1 for it in node.chips if not it.cores_milli)
    shares = []
    for chip in chips:
        cores_milli = chip.cores_milli or node.cores_milli // undeclared
        memory_bytes = node.memory_bytes * cores_milli // max(1, node.cores_milli)
        if chip.emulated and chip.memory_bytes is not None:
            memory_bytes = chip.memory_bytes
        shares.append(HostShare(cores_milli, memory_bytes))
    return tuple(shares)


def _part(share: HostShare, milli: int) -> HostShare:
    """The part that a fraction of the chip takes; some cores if the whole takes any."""
    if milli == WHOLE:
        return share
    return HostShare(
        max(min(1, share.cores_milli), share.cores_milli * milli // WHOLE),
        share.memory_bytes * milli // WHOLE,
    )
