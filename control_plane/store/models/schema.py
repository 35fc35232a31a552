"""What the schema itself went through, for servers that are older than it."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.store.models.base import Base


class SchemaRevision(Base):
    """One revision that this database has. `migrate.py` makes this table, not a revision: servers
    of every version must be able to read it, so its columns never change.
    """

    __tablename__ = "schema_revisions"

    revision: Mapped[str] = mapped_column(String(32), primary_key=True)
    down_revision: Mapped[str | None] = mapped_column(String(32))
    expands: Mapped[bool]
