"""Reads the throughput model: every measured speed with its origin."""

from __future__ import annotations

from typing import cast

from control_plane.services.deps import Deps
from control_plane.store.models import Speed as SpeedRow
from control_plane.store.unit_of_work import Transaction
from penstock.api.base import Page
from penstock.api.chips import Origin, Speed
from penstock.api.work import parse_work_class


def list_speeds(
    deps: Deps, limit: int, cursor: str | None, chip_type: str | None = None
) -> Page[Speed]:
    """In the order in which they were first measured."""
    with deps.store.read() as tx:
        found = tx.speeds.page(limit, cursor, chip_type=chip_type)
        return Page[Speed](items=[_view(row) for row in found.rows], next=found.next)


def speeds_of(tx: Transaction, chip_type: str) -> list[Speed]:
    """All that is known of one chip type."""
    return [_view(row) for row in tx.speeds.of(chip_type)]


def _view(row: SpeedRow) -> Speed:
    work = parse_work_class(row.work_class)
    return Speed(
        id=row.id,
        chip_type=row.chip_type,
        work_class=row.work_class,
        phase=work.phase if work else None,
        model=work.model if work else "",
        configuration=row.configuration,
        value=row.value,
        unit=row.unit,
        origin=cast(Origin, row.origin),
        num_samples=row.num_samples,
        updated_at=row.updated_at,
    )
