"""Rows of the change feed and of kept counts. Triggers write them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, func, literal_column, select, text, tuple_
from sqlalchemy.orm import Session

from control_plane.store.models import Change, Count
from penstock.api.ids import ProjectId
from penstock.api.states import JobState

_Key = tuple[str, str, str]
Counts = Mapping[str, Mapping[_Key, int]]
"""Kind → its three properties → how many."""

_IDENTITY = text(
    "SELECT concat_ws('.', system_identifier, timeline_id, pg_database.oid,"
    " 'changes'::regclass::oid) FROM pg_control_system(), pg_control_checkpoint(), pg_database"
    " WHERE datname = current_database()"
)
_LAST: Final = select(Change.object_id, Change.xid, Change.id).where(
    Change.object_id.in_(bindparam("ids", expanding=True))
)
_SETTLED: ColumnElement[int] = literal_column(
    "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)"
)


class Place(NamedTuple):
    """Where a change stands in the feed."""

    xid: int
    id: int


class Noted(NamedTuple):
    """The last change of one object."""

    xid: int
    id: int
    noun: str
    object_id: str
    version: int
    project_id: ProjectId | None


class Changes:
    """The feed, up to where nothing can become visible any more that lies before."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._is_sqlite = session.get_bind().dialect.name == "sqlite"

    def identity(self) -> str:
        """Another one where the database was restored, or is another; empty on SQLite."""
        return "" if self._is_sqlite else str(self._session.scalar(_IDENTITY))

    def head(self) -> Place:
        newest = self._settled().order_by(Change.xid.desc(), Change.id.desc()).limit(1)
        row = self._session.execute(newest.with_only_columns(Change.xid, Change.id)).first()
        return Place(0, 0) if row is None else Place(*row)

    def last_of(self, object_ids: Collection[str]) -> dict[str, Place]:
        """Object → its last change, as of this transaction."""
        rows = self._session.connection().execute(_LAST, {"ids": tuple(object_ids)})
        return {row[0]: Place(row[1], row[2]) for row in rows}

    def after(self, place: Place, limit: int) -> Sequence[Noted]:
        """The next ones in the order of the feed."""
        columns = (
            Change.xid,
            Change.id,
            Change.noun,
            Change.object_id,
            Change.version,
            Change.project_id,
        )
        later = self._settled().where(tuple_(Change.xid, Change.id) > tuple_(*place))
        ordered = later.order_by(Change.xid, Change.id).limit(limit)
        return [Noted(*row) for row in self._session.execute(ordered.with_only_columns(*columns))]

    def _settled(self) -> Select[Change]:
        """On PostgreSQL those of transactions before the oldest that is still open."""
        query = select(Change)
        return query if self._is_sqlite else query.where(Change.xid < _SETTLED)


_OF_STATE: Final = (Count.kind == "job", Count.third == bindparam("state"))
_NUM_JOBS: Final = select(func.sum(Count.number)).where(*_OF_STATE)


class KeptCounts:
    """How many there are of what."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self) -> Counts:
        """Those that are not 0."""
        columns = Count.kind, Count.first, Count.second, Count.third, Count.number
        found: dict[str, dict[_Key, int]] = {
            kind: {} for kind in ("job", "node", "chip", "unhealthy", "held")
        }
        for kind, *key, number in self._session.execute(select(*columns).where(Count.number != 0)):
            found[kind][key[0], key[1], key[2]] = number
        return found

    def num_jobs(self, state: JobState) -> int:
        return int(self._session.connection().scalar(_NUM_JOBS, {"state": state}) or 0)
