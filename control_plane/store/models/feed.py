"""What changed, and how many there are of what. Triggers of the database write both
(`store/database/triggers.py`): no writer, of whatever version, can forget it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.store.models.base import Base, Big, Short
from penstock.api.ids import ProjectId


class Change(Base):
    """The last change of one object, at its place in the feed: (`xid`, `id`).

    `xid` is the transaction on PostgreSQL, where those that are not serial commit in another order
    than they count `id` up; 0 on SQLite. `project_id` null: whoever may see the pool may see it.
    """

    __tablename__ = "changes"
    __table_args__ = (Index("ix_changes_place", "xid", "id"),)

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    xid: Mapped[Big]
    noun: Mapped[Short]
    object_id: Mapped[str] = mapped_column(String(48), unique=True)
    version: Mapped[int]
    project_id: Mapped[ProjectId | None] = mapped_column(String(48))


class Count(Base):
    """How many objects of a kind have these three properties; of `held`, thousandths of chips."""

    __tablename__ = "counts"

    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    first: Mapped[str] = mapped_column(String(128), primary_key=True)
    second: Mapped[str] = mapped_column(String(128), primary_key=True)
    third: Mapped[str] = mapped_column(String(128), primary_key=True)
    number: Mapped[Big]
