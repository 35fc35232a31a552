"""Writes down what a node says it offers. Chips that vanished stay known, but not present."""

from __future__ import annotations

from datetime import datetime

from control_plane.hints.topics import CYCLE
from control_plane.ids import new_id
from control_plane.store.models import Chip, Node
from control_plane.store.unit_of_work import Transaction
from penstock.api.assignments import Inventory
from penstock.api.chips import ChipReport
from penstock.api.ids import ChipId
from penstock.api.messages import say


def record_inventory(tx: Transaction, node: Node, inventory: Inventory, now: datetime) -> None:
    """Replaces the node's figures and chips; the same inventory again changes nothing."""
    host = (inventory.cores_milli, inventory.memory_bytes)
    changed = host != (node.cores_milli, node.memory_bytes)
    node.cores_milli, node.memory_bytes = host
    node.labels = dict(inventory.labels)
    node.info = {
        "platform": inventory.platform, "agent_version": inventory.agent_version,
        "address": inventory.address, "limits": dict(inventory.limits),
        "dropped": list(inventory.dropped),
    }  # fmt: skip
    known = tx.chips.known(node.id)
    for report in inventory.chips:
        changed |= _record_chip(tx, node, known.pop(report.key, None), report)
    for gone in known.values():
        changed |= gone.present
        gone.present = False
    if changed:
        node.version += 1
        tx.hints.add(CYCLE)
        message = say("node_chips", node=node.name, chips=len(inventory.chips))
        tx.events.append("node", node.id, None, "node.inventory", message, now)


def _record_chip(tx: Transaction, node: Node, chip: Chip | None, report: ChipReport) -> bool:
    document = report.model_dump(mode="json")
    if chip is None:
        chip = Chip(id=new_id(ChipId), node_id=node.id, key=report.key, sample=None, present=False)
        _write(chip, report)
        chip.report = document
        chip.present = True
        tx.chips.add(chip)
        return True
    changed = not chip.present or chip.report != document
    if changed:
        _write(chip, report)
        chip.report, chip.present = document, True
    return changed


def _write(chip: Chip, report: ChipReport) -> None:
    chip.vendor, chip.type, chip.index = report.vendor, report.type, report.index
    chip.memory_bytes, chip.cores_milli = report.memory_bytes, report.cores_milli
    chip.emulated, chip.health = report.emulated, report.health
