"""What all repositories share: rows of one model by id, by name and in pages."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Executable,
    Insert,
    Row,
    Select,
    bindparam,
    delete,
    insert,
    inspect,
    select,
)
from sqlalchemy.orm import Session

from control_plane.store.models import Base, Endpoint, Job, Node, Project, Queue
from control_plane.store.repositories.paging import Slice, page_of
from penstock.api.ids import ProjectId, noun_of

MOST_CHOICES: Final = 10
_ID: Final = "id"
_VERSION: Final = "version"
RowT = TypeVar("RowT", bound=Base)
IdT = TypeVar("IdT")
NamedT = TypeVar("NamedT", Endpoint, Job, Node, Project, Queue)
ScopedT = TypeVar("ScopedT", Endpoint, Job)


class Repository(Generic[RowT, IdT]):
    """Rows by id. `key` is the column that pages are ordered by."""

    model: type[RowT]
    key = _ID

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, row_id: IdT) -> RowT | None:
        return self._session.get(self.model, row_id)

    def many(self, ids: Collection[IdT]) -> dict[IdT, RowT]:
        """Id → row."""
        if not ids:
            return {}
        wanted = getattr(self.model, _ID).in_(tuple(ids))
        rows = self._session.scalars(select(self.model).where(wanted))
        return {getattr(row, _ID): row for row in rows}

    def add(self, row: RowT) -> None:
        self._session.add(row)

    def insert(self, row: RowT) -> None:
        """Adds a new row at once and past the session, which takes a third of the time."""
        self._session.connection().execute(_insertion(self.model), _values(row))

    def _first(self, query: Executable, **values: object) -> Row[Any] | None:
        """The first row of a query that was made before, with values for its parameters: making a
        query takes longer than running it.
        """
        return self._session.connection().execute(query, values).first()

    def page(
        self, limit: int, cursor: str | None, *, newest_first: bool = False, **columns: str | None
    ) -> Slice[RowT]:
        """Columns filter where they are not None."""
        query, of = self._where(**columns), sorted(columns.items())
        return self._page(query, limit, cursor, *of, newest_first=newest_first)

    def _where(self, **columns: str | None) -> Select[RowT]:
        given = {name: value for name, value in columns.items() if value is not None}
        return select(self.model).filter_by(**given)

    def _page(
        self,
        query: Select[RowT],
        limit: int,
        cursor: str | None,
        *of: object,
        key: str = "",
        newest_first: bool = False,
    ) -> Slice[RowT]:
        """`of`: every filter of the query (`page_of`)."""
        return page_of(
            self._session,
            query,
            getattr(self.model, key or self.key),
            limit,
            cursor,
            of=(self.model.__tablename__, *of),
            newest_first=newest_first,
        )

    def _delete(self, limit: int, *conditions: ColumnElement[bool]) -> int:
        """The number of rows deleted, `limit` at most: no transaction should delete very many."""
        key = getattr(self.model, _ID)
        some = select(key).where(*conditions).limit(limit)
        deleted = self._session.execute(delete(self.model).where(key.in_(some)))
        return int(deleted.rowcount)  # type: ignore[attr-defined]


class NamedRows(Repository[NamedT, IdT]):
    """Rows that have a name. What a reference means: one shaped like an id is an id and nothing
    else, any other a name.
    """

    def names(self, ids: Collection[IdT], **columns: str | None) -> dict[IdT, str]:
        """Id → name."""
        if not ids:
            return {}
        key = getattr(self.model, _ID)
        query = self._where(**columns).where(key.in_(tuple(ids)))
        rows = self._session.execute(query.with_only_columns(key, self.model.name))
        return {row[0]: row[1] for row in rows}

    def _means(self, ref: str) -> ColumnElement[bool]:
        return self.model.id == ref if noun_of(ref) is not None else self.model.name == ref


@dataclass(frozen=True, slots=True)
class Named:
    """What a reference means."""

    id: Any
    name: str


class UniqueRows(NamedRows[NamedT, IdT]):
    """Rows of which no two have the same name."""

    key = "name"

    def lookup(self, ref: str) -> Named | None:
        """No more of the row that `find` would find."""
        row = self._first(_lookup(self.model, noun_of(ref) is not None), ref=ref)
        return None if row is None else Named(row.id, row.name)

    def find(self, ref: str) -> NamedT | None:
        return self._session.scalar(select(self.model).where(self._means(ref)))


@cache
def _lookup(model: type[Any], by_id: bool) -> Select[Any]:
    column = model.id if by_id else model.name
    return select(model.id, model.name).where(column == bindparam("ref"))


@cache
def _insertion(model: type[Base]) -> Insert:
    return insert(model)


@cache
def _columns(model: type[Base]) -> tuple[str, ...]:
    return tuple(column.key for column in inspect(model).column_attrs)


def _values(row: Base) -> dict[str, Any]:
    """By column, but for a number that the database gives; a first version is 1."""
    given = row.__dict__
    values = {name: given[name] for name in _columns(type(row)) if name in given}
    if inspect(type(row)).version_id_col is not None:
        values.setdefault(_VERSION, 1)
    return values


class Ambiguous(Exception):
    """The name stands for an object in each of several projects: (id, project) of some of them."""

    def __init__(self, choices: list[tuple[str, str]]) -> None:
        super().__init__("one name, several projects")
        self.choices = choices


class ScopedRows(NamedRows[ScopedT, IdT]):
    """Rows of which no two of one project that are alive have the same name."""

    alive: ColumnElement[bool]

    def find(self, ref: str, project_id: ProjectId | None) -> ScopedT | None:
        """By id, or of those of that name in one project the one alive, else the newest. None: all
        projects; raises Ambiguous where several of them have the name.
        """
        if project_id is None and noun_of(ref) is None:
            every = self.model.project_id.in_(select(Project.id))  # names are indexed by project
            having = select(self.model.project_id).where(self.model.name == ref, every).distinct()
            projects = self._session.scalars(having.limit(MOST_CHOICES)).all()
            if len(projects) > 1:
                found = [self._best(ref, one) for one in sorted(projects)]
                raise Ambiguous([(row.id, row.project) for row in found if row is not None])
            if not projects:
                return None
            project_id = projects[0]
        return self._best(ref, project_id)

    def _best(self, ref: str, project_id: ProjectId | None) -> ScopedT | None:
        query = self._where(project_id=project_id).where(self._means(ref))
        return self._session.scalar(
            query.order_by(self.alive.desc(), self.model.id.desc()).limit(1)
        )
