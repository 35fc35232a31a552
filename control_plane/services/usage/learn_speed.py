"""Feeds measured speeds into the throughput model, each with its origin."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from control_plane.ids import new_id
from control_plane.store.models import Replica, Speed
from control_plane.store.repositories.speeds import UNIT
from control_plane.store.unit_of_work import Transaction
from penstock.api.assignments import SpeedReport
from penstock.api.ids import SpeedId

NEWEST_WEIGHT: Final = 0.3


def learn_speed(tx: Transaction, replica: Replica, report: SpeedReport, now: datetime) -> None:
    """Folds a speed into the row of its class, chip type, configuration and origin.

    The value is an exponential moving average; the first sample counts whole. Speeds are per
    whole chip: a replica on a fraction counts in proportion.
    """
    held = replica.chips
    if not held or len({chip["type"] for chip in held}) != 1:
        return
    whole_chips = sum(chip["milli"] for chip in held) / 1000.0
    value = report.value / whole_chips
    chip_type, configuration = held[0]["type"], f"chips={len(held)}"
    if report.unit != UNIT:
        configuration += f",unit={report.unit}"
    row = tx.speeds.find(report.work_class, chip_type, configuration, report.origin)
    if row is None:
        tx.speeds.add(
            Speed(
                id=new_id(SpeedId),
                work_class=report.work_class,
                chip_type=chip_type,
                configuration=configuration,
                value=value,
                unit=report.unit,
                origin=report.origin,
                num_samples=1,
                updated_at=now,
            )
        )
        return
    row.value += NEWEST_WEIGHT * (value - row.value)
    row.num_samples += 1
    row.updated_at = now
