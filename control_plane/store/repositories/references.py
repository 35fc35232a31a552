"""What a reference means: one shaped like an id is an id and nothing else, any other a name."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from control_plane.store.models import Endpoint, Job, Node, Project, Queue, Token
from penstock.api.ids import noun_of

Named = TypeVar("Named", Endpoint, Job, Node, Project, Queue, Token)
MOST_CHOICES = 10


class Ambiguous(Exception):
    """The name stands for an object in each of several projects: (id, project) of some of them."""

    def __init__(self, choices: list[tuple[str, str]]) -> None:
        super().__init__("one name, several projects")
        self.choices = choices


def means(model: type[Named], ref: str) -> ColumnElement[bool]:
    """The condition under which a row is what `ref` refers to."""
    return model.id == ref if noun_of(ref) is not None else model.name == ref


def best_match(
    session: Session, model: type[Job] | type[Endpoint], ref: str, project_id: str | None,
    alive: ColumnElement[bool],
) -> Any:  # fmt: skip
    """Of those of one name in one project the one alive, else the newest. None: all projects;
    raises Ambiguous where several of them have the name.
    """
    if project_id is None and noun_of(ref) is None:
        every = model.project_id.in_(select(Project.id))  # names are indexed by project
        having = select(model.project_id).where(model.name == ref, every).distinct()
        projects = session.scalars(having.limit(MOST_CHOICES)).all()
        if len(projects) > 1:
            found = [_best(session, model, ref, one, alive) for one in sorted(projects)]
            raise Ambiguous([(row.id, row.project) for row in found])
        project_id = projects[0] if projects else None
        if project_id is None:
            return None
    return _best(session, model, ref, project_id, alive)


def _best(
    session: Session, model: Any, ref: str, project_id: str | None, alive: ColumnElement[bool]
) -> Any:
    query: Select[Any] = select(model).where(means(model, ref))
    if project_id is not None:
        query = query.where(model.project_id == project_id)
    return session.scalar(query.order_by(alive.desc(), model.id.desc()).limit(1))
