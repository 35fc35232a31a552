"""Rows of nodes and chips as the API shows them, with what is free at this moment."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.store.models import Chip as ChipRow
from control_plane.store.models import Lease
from control_plane.store.models import Node as NodeRow
from control_plane.store.models.coded_message import read_message
from control_plane.store.unit_of_work import Transaction
from penstock.api.chips import Chip, ChipReport, ChipSample, ChipType, Rate
from penstock.api.ids import ChipId, JobId, NodeId, ProjectId
from penstock.api.nodes import Health, Intent, Node
from penstock.api.states import ChipHealth, NodeHealth, NodeIntent
from penstock.api.vendors import vendor_table
from penstock.catalogue import render

WHOLE_CHIP_MILLI = 1000


@dataclass(slots=True)
class Held:
    """What leases hold of one chip, and for which jobs."""

    milli: int = 0
    jobs: set[JobId] = field(default_factory=set)


def node_views(
    rows: Sequence[NodeRow], chips: Iterable[ChipRow], leases: Iterable[Lease]
) -> list[Node]:
    """`chips` are those present and `leases` those held, of these nodes at least."""
    types: dict[NodeId, Counter[str]] = defaultdict(Counter)
    for chip in chips:
        types[chip.node_id][chip.type] += 1
    cores: Counter[NodeId] = Counter()
    memory: Counter[NodeId] = Counter()
    for lease in leases:
        cores[lease.node_id] += lease.cores_milli
        memory[lease.node_id] += lease.memory_bytes
    return [_node(row, types[row.id], cores[row.id], memory[row.id]) for row in rows]


def chip_views(tx: Transaction, rows: Sequence[ChipRow], sees: ProjectId | None) -> list[Chip]:
    """Names of jobs only where the caller's project (`sees`; None: all) may know them."""
    held = held_by_chip(tx.leases.held() if len(rows) > 1 else _on_node(tx, rows))
    ids = {job for row in rows for job in held.get(row.id, Held()).jobs}
    names = tx.jobs.names(ids, project_id=sees)
    nodes = tx.nodes.many({row.node_id for row in rows})
    return [_chip(row, nodes[row.node_id], held.get(row.id, Held()), names) for row in rows]


def chip_type_views(
    rows: Iterable[ChipRow], nodes: Mapping[NodeId, NodeRow], held: Mapping[ChipId, Held]
) -> list[ChipType]:
    """One view per type that is present, in order of its name. `nodes` are those of the chips by
    id: what lies on a retired one is out of the pool, on a lost one it is not healthy.
    """
    by_type: dict[str, list[ChipRow]] = defaultdict(list)
    for row in rows:
        if nodes[row.node_id].intent != NodeIntent.RETIRED:
            by_type[row.type].append(row)
    return [_chip_type(name, chips, nodes, held) for name, chips in sorted(by_type.items())]


def held_by_chip(leases: Iterable[Lease]) -> dict[ChipId, Held]:
    """Chip id → what the leases hold of it."""
    held: dict[ChipId, Held] = defaultdict(Held)
    for lease in leases:
        for chip in lease.chips:
            entry = held[chip["chip_id"]]
            entry.milli += chip["milli"]
            entry.jobs.add(lease.job_id)
    return held


def _node(row: NodeRow, types: Counter[str], cores_milli: int, memory_bytes: int) -> Node:
    info: dict[str, Any] = row.info
    health = read_message(row.health_message, row.health_message_document)
    intent = read_message(row.intent_message, row.intent_message_document)
    return Node(
        id=row.id,
        name=row.name,
        health=Health(
            state=NodeHealth(row.health),
            reason=row.health_reason,
            message=render(health),
            code=health.code,
            params=health.params,
            since=row.health_since,
        ),
        intent=Intent(
            state=NodeIntent(row.intent),
            reason=row.intent_reason,
            message=render(intent),
            code=intent.code,
            params=intent.params,
            since=row.intent_since,
        ),
        labels=row.labels,
        cores_milli=row.cores_milli,
        free_cores_milli=max(0, row.cores_milli - cores_milli),
        memory_bytes=row.memory_bytes,
        free_memory_bytes=max(0, row.memory_bytes - memory_bytes),
        num_chips=types.total(),
        chips=dict(sorted(types.items())),
        platform=info.get("platform", ""),
        agent_version=info.get("agent_version", ""),
        address=info.get("address", ""),
        limits=info.get("limits", {}),
        dropped=info.get("dropped", []),
        refused_incarnation=row.refused_incarnation,
        last_heartbeat_at=row.last_heartbeat_at,
        created_at=row.created_at,
        etag=str(row.version),
    )


def _chip(row: ChipRow, node: NodeRow, held: Held, names: Mapping[JobId, str]) -> Chip:
    report = ChipReport.model_validate(row.report)
    return Chip(
        id=row.id,
        node=node.name,
        vendor=row.vendor,
        type=row.type,
        index=row.index,
        physical_id=report.physical_id,
        minor=report.minor,
        pci_address=report.pci_address,
        uuid=report.uuid,
        memory_bytes=row.memory_bytes,
        cores_milli=row.cores_milli,
        dtypes=list(report.dtypes),
        health=ChipHealth(row.health),
        health_message=report.health_message,
        driver_version=report.driver_version,
        emulated=row.emulated,
        stands_for=report.stands_for,
        link_bytes_per_s=report.link_bytes_per_s,
        rates=report.rates,
        free_milli=_free_milli(row, node, held),
        held_by=sorted(names[job] for job in held.jobs if job in names),
        sample=ChipSample.model_validate(row.sample) if row.sample else None,
    )


def _chip_type(
    name: str, rows: Sequence[ChipRow], nodes: Mapping[NodeId, NodeRow], held: Mapping[ChipId, Held]
) -> ChipType:
    reports = [ChipReport.model_validate(row.report) for row in rows]
    first = reports[0]
    vendor = vendor_table().get(first.vendor)
    memory = [row.memory_bytes for row in rows if row.memory_bytes is not None]
    return ChipType(
        type=name,
        vendor=first.vendor,
        emulated=first.emulated,
        stands_for=first.stands_for,
        total=len(rows),
        free_milli=sum(
            _free_milli(row, nodes[row.node_id], held.get(row.id, Held())) for row in rows
        ),
        healthy=sum(_is_healthy(row, nodes[row.node_id]) for row in rows),
        memory_bytes=min(memory, default=None),
        dtypes=sorted(set.intersection(*(set(report.dtypes) for report in reports))),
        rates=_slowest_rates(reports),
        verified=vendor.verified if vendor else False,
    )


def _slowest_rates(reports: Iterable[ChipReport]) -> dict[str, Rate]:
    """Of each rate the smallest among the type's chips: what one may count on."""
    slowest: dict[str, Rate] = {}
    for report in reports:
        for name, rate in report.rates.items():
            if name not in slowest or rate.value < slowest[name].value:
                slowest[name] = rate
    return slowest


def _free_milli(row: ChipRow, node: NodeRow, held: Held) -> int:
    """What a new job could get: nothing of a sick chip or on a node that takes no new work."""
    is_open = node.health == NodeHealth.READY and node.intent == NodeIntent.SCHEDULABLE
    if not is_open or not _is_healthy(row, node):
        return 0
    return max(0, WHOLE_CHIP_MILLI - held.milli)


def _is_healthy(row: ChipRow, node: NodeRow) -> bool:
    gone = node.health == NodeHealth.LOST or node.intent == NodeIntent.RETIRED
    return row.health == ChipHealth.HEALTHY and not gone


def _on_node(tx: Transaction, rows: Sequence[ChipRow]) -> Sequence[Lease]:
    return tx.leases.held_on(rows[0].node_id) if rows else ()
