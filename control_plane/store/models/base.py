"""What all tables share: column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeVar

from sqlalchemy import JSON, BigInteger, DateTime, MetaData, String, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator

from penstock.json_types import Json

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
IdT = TypeVar("IdT", bound=str)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC times in and out, whatever the database keeps."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times must be aware")
        return value.astimezone(UTC)

    def process_result_value(self, value: object, dialect: Dialect) -> datetime | None:
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The declarative base; JSON documents are plain dictionaries and lists."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012
        Json: JSON,
        list[Json]: JSON,
        dict[str, str]: JSON,
        dict[str, int]: JSON,
        datetime: UtcDateTime,
    }


Id = Annotated[IdT, mapped_column(String(48), primary_key=True)]
Ref = Annotated[IdT, mapped_column(String(48), index=True)]
Short = Annotated[str, mapped_column(String(128))]
Long = Annotated[str, mapped_column(Text)]
Big = Annotated[int, mapped_column(BigInteger)]
