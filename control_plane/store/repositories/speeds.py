"""Rows of the throughput model."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_plane.store.models import Speed


class Speeds:
    """Measured speeds by work class, chip type, configuration and origin."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self) -> Sequence[Speed]:
        return self._session.scalars(select(Speed).order_by(Speed.id)).all()

    def find(
        self, work_class: str, chip_type: str, configuration: str, origin: str
    ) -> Speed | None:
        return self._session.scalar(
            select(Speed).where(
                Speed.work_class == work_class,
                Speed.chip_type == chip_type,
                Speed.configuration == configuration,
                Speed.origin == origin,
            )
        )

    def add(self, row: Speed) -> None:
        self._session.add(row)
