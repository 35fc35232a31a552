"""Reads nodes, chips and chip types. The pool is shared: every caller sees all of it."""

from __future__ import annotations

from control_plane.errors import not_found
from control_plane.services.deps import Caller, Deps
from control_plane.services.nodes.views import chip_type_views, chip_views, held_by_chip, node_views
from control_plane.services.usage.speeds import speeds_of
from control_plane.store.models import Node as NodeRow
from control_plane.store.unit_of_work import Transaction
from penstock.api.base import Page
from penstock.api.chips import Chip, ChipType
from penstock.api.ids import ChipId
from penstock.api.nodes import Node


def get_node(deps: Deps, ref: str) -> Node:
    """By id or name. Raises NotFound."""
    with deps.store.read() as tx:
        row = find_node(tx, ref)
        return node_views([row], tx.chips.present([row.id]), tx.leases.held_on(row.id))[0]


def list_nodes(deps: Deps, limit: int, cursor: str | None, *, retired: bool = False) -> Page[Node]:
    """In order of their names; retired ones only if asked for."""
    with deps.store.read() as tx:
        found = tx.nodes.page_of(limit, cursor, retired)
        items = node_views(found.rows, tx.chips.present(), tx.leases.held())
        return Page[Node](items=items, next=found.next)


def get_chip(deps: Deps, caller: Caller, chip_id: ChipId) -> Chip:
    """Raises NotFound, also for a chip that its node does not report any more."""
    with deps.store.read() as tx:
        row = tx.chips.get(chip_id)
        if row is None or not row.present:
            raise not_found("chip", chip_id)
        (shown,) = chip_views(tx, [row], caller.sees)
        return shown.model_copy(update={"speeds": speeds_of(tx, row.type)})


def list_chips(
    deps: Deps,
    caller: Caller,
    limit: int,
    cursor: str | None,
    *,
    node: str | None = None,
    chip_type: str | None = None,
    vendor: str | None = None,
    retired: bool = False,
) -> Page[Chip]:
    """Chips present now, in the order in which their nodes reported them. Those of retired nodes
    only if asked for, by `retired` or by naming the node.
    """
    with deps.store.read() as tx:
        node_id = find_node(tx, node).id if node is not None else None
        found = tx.chips.page_of(
            limit,
            cursor,
            retired or node_id is not None,
            node_id=node_id,
            type=chip_type,
            vendor=vendor,
        )
        return Page[Chip](items=chip_views(tx, found.rows, caller.sees), next=found.next)


def list_chip_types(deps: Deps) -> Page[ChipType]:
    """All types that are present; there are few."""
    with deps.store.read() as tx:
        held, nodes = held_by_chip(tx.leases.held()), {node.id: node for node in tx.nodes.all()}
        return Page[ChipType](items=chip_type_views(tx.chips.present(), nodes, held))


def find_node(tx: Transaction, ref: str) -> NodeRow:
    """By id or name. Raises NotFound."""
    row = tx.nodes.find(ref)
    if row is None:
        raise not_found("node", ref)
    return row
