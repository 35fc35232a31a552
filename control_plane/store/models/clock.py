"""The lease clock: the only time by which leases are granted, renewed, ended and metered."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from control_plane.store.models.base import Base


class LeaseClock(Base):
    """One row. The leader moves `at` on; nobody adds to it what has passed since."""

    __tablename__ = "lease_clock"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
