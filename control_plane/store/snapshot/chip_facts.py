"""What chips are, apart from who holds them: read once, and again when their node changed.

Whatever changes a chip's row raises its node's version in the same transaction, but for samples,
which decide nothing. So facts are good for as long as the version is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from control_plane.store.repositories.batches import few_or_all
from control_plane.store.repositories.nodes import PlainChip
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import NodeId
from penstock.api.states import ChipHealth
from penstock.api.vendors import vendor_table
from scheduler import model as plan

TRAINER_DRIVES: Final = frozenset({"cpu"})
"""Devices of PyTorch that the trainer computes on."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node's chips, none of them held, and what its chip types declare or were measured at:
    chip type → kind of rate → rate.
    """

    version: int
    chips: tuple[plan.Chip, ...] = ()
    rates: Mapping[str, Mapping[str, plan.Rate]] = field(default_factory=dict)


class ChipFacts:
    """Remembers facts by node. Any number of threads may ask."""

    def __init__(self) -> None:
        self._known: Mapping[NodeId, NodeFacts] = {}

    def of(self, tx: Transaction, versions: Mapping[NodeId, int]) -> Mapping[NodeId, NodeFacts]:
        """The facts of nodes at these versions, which `tx` has read. Forgets all other nodes."""
        known = self._known
        missing = [
            node for node, at in versions.items() if node not in known or known[node].version != at
        ]
        found = _read(tx, missing, versions)
        self._known = {node: found.get(node) or known[node] for node in versions}
        return self._known


def _read(
    tx: Transaction, nodes: Sequence[NodeId], versions: Mapping[NodeId, int]
) -> Mapping[NodeId, NodeFacts]:
    rows: dict[NodeId, list[PlainChip]] = defaultdict(list)
    for some in few_or_all(nodes, len(versions)):
        for row in tx.chips.plain(some):
            rows[row.node_id].append(row)
    return {node: _facts(versions[node], rows[node]) for node in nodes}


def _facts(version: int, rows: Iterable[PlainChip]) -> NodeFacts:
    rates: dict[str, dict[str, plan.Rate]] = defaultdict(dict)
    for row in rows:
        for kind, rate in row.report.get("rates", {}).items():
            rates[row.type][kind] = plan.Rate(rate["value"], rate["origin"])
    return NodeFacts(version, tuple(_chip(row) for row in rows), rates)


def _trains(vendor: str) -> bool:
    """Whether the trainer drives chips of this vendor."""
    known = vendor_table().get(vendor)
    return known is not None and known.torch_device in TRAINER_DRIVES


def _chip(row: PlainChip) -> plan.Chip:
    return plan.Chip(
        id=plan.ChipId(row.id),
        node_id=plan.NodeId(row.node_id),
        index=row.index,
        type=row.type,
        vendor=row.vendor,
        memory_bytes=row.memory_bytes,
        dtypes=frozenset(row.report.get("dtypes", ())),
        emulated=row.emulated,
        stands_for=row.report.get("stands_for"),
        healthy=row.health != ChipHealth.UNHEALTHY,
        cores_milli=row.cores_milli,
        trainable=_trains(row.vendor),
    )
