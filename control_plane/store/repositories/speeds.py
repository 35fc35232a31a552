"""Rows of the throughput model, and which of them answers for a class of work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import select

from control_plane.store.models import Speed
from control_plane.store.repositories.base import Repository
from penstock.api.ids import SpeedId
from penstock.api.work import WorkClass, parse_work_class
from scheduler.model import Rate

UNIT: Final = "tokens/s"
_BY_TRUST: Final = ("observed", "profile", "conformance", "declared", "datasheet")


class Speeds(Repository[Speed, SpeedId]):
    """Measured speeds by work class, chip type, configuration and origin."""

    model = Speed

    def all(self) -> Sequence[Speed]:
        return self._session.scalars(select(Speed).order_by(Speed.id)).all()

    def of(self, chip_type: str) -> Sequence[Speed]:
        query = self._where(chip_type=chip_type).order_by(Speed.id)
        return self._session.scalars(query).all()

    def find(
        self, work_class: str, chip_type: str, configuration: str, origin: str
    ) -> Speed | None:
        return self._session.scalar(
            self._where(
                work_class=work_class,
                chip_type=chip_type,
                configuration=configuration,
                origin=origin,
            )
        )


def nearest_speeds(
    rows: Iterable[Speed], wanted: Iterable[str]
) -> Mapping[str, Mapping[str, Rate]]:
    """Work class → chip type → the speed of the class that is nearest to it, and of several of
    one class the one that is trusted most.
    """
    known: dict[str, list[tuple[WorkClass, Speed]]] = defaultdict(list)
    for row in rows:
        measured = parse_work_class(row.work_class) if row.unit == UNIT else None
        if measured is not None:
            known[measured.model].append((measured, row))
    found: dict[str, Mapping[str, Rate]] = {}
    for text in wanted:
        work = parse_work_class(text)
        if work is not None and work.model in known:
            found[text] = _nearest(work, known[work.model])
    return found


def _nearest(work: WorkClass, known: Iterable[tuple[WorkClass, Speed]]) -> Mapping[str, Rate]:
    best: dict[str, tuple[tuple[object, ...], Speed]] = {}
    for measured, row in known:
        away = work.distance(measured)
        if away is not None:
            rank = (*away, _BY_TRUST.index(row.origin), row.configuration)
            best[row.chip_type] = min(best.get(row.chip_type, (rank, row)), (rank, row), key=_rank)
    return {chip_type: Rate(row.value, row.origin) for chip_type, (_, row) in best.items()}


def _rank(option: tuple[tuple[object, ...], Speed]) -> tuple[object, ...]:
    return option[0]
