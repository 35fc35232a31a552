"""What a newer schema asks of a server that does not know it: compares two looks at a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, inspect
from sqlalchemy.engine.reflection import Inspector


@dataclass(frozen=True, slots=True)
class Column:
    """One column as the database has it."""

    type: str
    nullable: bool
    has_default: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Its columns, and everything that can refuse a row."""

    columns: Mapping[str, Column]
    rules: frozenset[str]


Shape = Mapping[str, Table]


def look(engine: Engine) -> Shape:
    found = inspect(engine)
    return {name: _table(found, name) for name in found.get_table_names()}


def breaks(before: Shape, after: Shape) -> Iterator[str]:
    """Why a server that knows the first cannot run on the second."""
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            yield f"table {name} is gone"
            continue
        for column, was in old.columns.items():
            yield from _column(f"{name}.{column}", was, new.columns.get(column))
        for column in new.columns.keys() - old.columns.keys():
            if not new.columns[column].nullable and not new.columns[column].has_default:
                yield f"{name}.{column} is new and must be given"
        yield from (f"{name} has a new rule: {rule}" for rule in sorted(new.rules - old.rules))


def _column(name: str, was: Column, now: Column | None) -> Iterator[str]:
    if now is None:
        yield f"{name} is gone"
    elif now.type != was.type:
        yield f"{name} was {was.type}, is {now.type}"
    elif was.nullable and not now.nullable:
        yield f"{name} must be given"
    elif was.has_default and not now.has_default:
        yield f"{name} has lost its default"


def _table(found: Inspector, name: str) -> Table:
    columns = {
        it["name"]: Column(str(it["type"]), it["nullable"], it["default"] is not None)
        for it in found.get_columns(name)
    }
    return Table(columns, frozenset(_rules(found, name)))


def _rules(found: Inspector, name: str) -> Iterator[str]:
    yield f"key {_list(found.get_pk_constraint(name)['constrained_columns'])}"
    for unique in found.get_unique_constraints(name):
        yield f"unique {_list(unique['column_names'])}"
    for index in found.get_indexes(name):
        if index["unique"]:
            yield f"unique {_list(index['column_names'])}"
    for check in found.get_check_constraints(name):
        yield f"check {check['sqltext']}"
    for foreign in found.get_foreign_keys(name):
        yield f"reference {_list(foreign['constrained_columns'])} {foreign['referred_table']}"


def _list(names: Iterable[str | None]) -> str:
    return ", ".join(sorted(str(it) for it in names))
