"""The triggers that write the change feed and keep counts, whoever changes a row: this server or an
older one, by whichever statement. They are made anew whenever the schema changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from sqlalchemy import Connection, inspect, text

_SQLITE: Final = "SELECT name, tbl_name AS of_table FROM sqlite_master WHERE type = 'trigger'"
_POSTGRESQL: Final = (
    "SELECT tgname AS name, tgrelid::regclass::text AS of_table"
    " FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
    " WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace"
)
_VERSIONED: Final = "NEW.version <> OLD.version"
_NODE_SHOWN: Final = (
    f"{_VERSIONED} OR CAST(NEW.info AS TEXT) <> CAST(OLD.info AS TEXT)"
    " OR CAST(NEW.labels AS TEXT) <> CAST(OLD.labels AS TEXT)"
    " OR coalesce(NEW.refused_incarnation, '') <> coalesce(OLD.refused_incarnation, '')"
)
_REVOKED: Final = "OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL"
_OF: Final = {
    "job": ("version, project_id", "jobs"),
    "endpoint": ("version, project_id", "endpoints"),
    "node": ("version, CAST(NULL AS VARCHAR(48))", "nodes"),
    "queue": ("version, CAST(NULL AS VARCHAR(48))", "queues"),
    "project": ("1, id", "projects"),
    "token": ("CASE WHEN revoked_at IS NULL THEN 1 ELSE 2 END, project_id", "tokens"),
}
"""Noun → its version and project, and its table."""
_JOB, _NODE = ("job", "job_id"), ("node", "node_id")
_NOTED: Final = (
    ("jobs", "INSERT", "", ("job", "id")), ("jobs", "UPDATE", _VERSIONED, ("job", "id")),
    ("gangs", "UPDATE", _VERSIONED, _JOB),
    ("replicas", "INSERT", "", _JOB), ("replicas", "UPDATE", _VERSIONED, _JOB),
    ("checkpoints", "INSERT", "", _JOB),
    ("leases", "INSERT", "", _JOB, _NODE),
    ("leases", "UPDATE OF state", "NEW.state <> OLD.state", _JOB, _NODE),
    ("endpoints", "INSERT", "", ("endpoint", "id")),
    ("endpoints", "UPDATE", _VERSIONED, ("endpoint", "id")),
    ("nodes", "INSERT", "", ("node", "id")),
    ("nodes", "UPDATE OF version, info, labels, refused_incarnation", _NODE_SHOWN, ("node", "id")),
    ("queues", "INSERT", "", ("queue", "id")), ("queues", "UPDATE", _VERSIONED, ("queue", "id")),
    ("projects", "INSERT", "", ("project", "id")),
    ("tokens", "INSERT", "", ("token", "id")),
    ("tokens", "UPDATE OF revoked_at", _REVOKED, ("token", "id")),
)  # fmt: skip
"""Table, event and condition; the noun that changed, and the column that says which."""


def triggers(connection: Connection) -> dict[str, str]:
    """Name → table."""
    is_sqlite = connection.dialect.name == "sqlite"
    rows = connection.execute(text(_SQLITE if is_sqlite else _POSTGRESQL))
    return {row.name: row.of_table for row in rows}


def drop_triggers(connection: Connection) -> None:
    """Before the schema changes: SQLite renames no table that one of them names."""
    for name, table in triggers(connection).items():
        of = "" if connection.dialect.name == "sqlite" else f" ON {table}"
        connection.execute(text(f"DROP TRIGGER {name}{of}"))


def create_triggers(connection: Connection) -> None:
    """And counts what is there: nobody did while the schema changed."""
    if not inspect(connection).has_table("counts"):
        return  # a revision of before them
    is_sqlite = connection.dialect.name == "sqlite"
    connection.execute(text("DELETE FROM counts"))
    for one in (*_feed(is_sqlite), *_counts(is_sqlite)):
        for statement in one.sqlite() if is_sqlite else one.postgresql():
            connection.execute(text(statement))
    for statement in _what_is_there(is_sqlite):
        connection.execute(text(statement))


class _Trigger(NamedTuple):
    """Statements after each row of a table that an event changed."""

    name: str
    table: str
    event: str
    when: str
    body: str

    def sqlite(self) -> Iterator[str]:
        yield f"{self._head()} BEGIN {self.body} END"

    def postgresql(self) -> Iterator[str]:
        yield (
            f"CREATE OR REPLACE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {self.body} RETURN NULL; END $$"
        )
        yield f"{self._head()} EXECUTE FUNCTION {self.name}()"

    def _head(self) -> str:
        when = f" WHEN ({self.when})" if self.when else ""
        return f"CREATE TRIGGER {self.name} AFTER {self.event} ON {self.table} FOR EACH ROW{when}"


def _feed(is_sqlite: bool) -> Iterator[_Trigger]:
    """One row for each object: it moves to the feed's end, once in a transaction."""
    for table, event, when, *nouns in _NOTED:
        name = f"{table}_{event.split()[0].lower()}_changes"
        yield _Trigger(name, table, event, when, " ".join(_note(is_sqlite, *it) for it in nouns))


def _note(is_sqlite: bool, noun: str, column: str) -> str:
    shown, table = _OF[noun]
    verb = "INSERT OR REPLACE" if is_sqlite else "INSERT"
    again = (
        ""
        if is_sqlite
        else (
            " ON CONFLICT (object_id) DO UPDATE SET id = excluded.id, xid = excluded.xid,"
            " version = excluded.version"
            " WHERE (changes.xid, changes.version) <> (excluded.xid, excluded.version)"
        )
    )
    return (
        f"{verb} INTO changes (noun, object_id, version, project_id) "
        f"SELECT '{noun}', id, {shown} FROM {table} WHERE id = NEW.{column}{again};"
    )


def _counts(is_sqlite: bool) -> Iterator[_Trigger]:
    job, node = "'job', {}.project_id, {}.queue, {}.state", "'node', {}.health, {}.intent, ''"
    yield from _counted("jobs", "state", job, "NEW.state <> OLD.state")
    either = "NEW.health <> OLD.health OR NEW.intent <> OLD.intent"
    yield from _counted("nodes", "health, intent", node, either)
    retired = "NEW.intent = 'retired' AND OLD.intent <> 'retired'"
    mine = (
        "(SELECT count(*) FROM chips WHERE node_id = NEW.id AND present AND vendor = counts.first"
        " AND type = counts.second AND (counts.kind = 'chip' OR health = 'unhealthy'))"
    )
    gone = f"UPDATE counts SET number = number - {mine} WHERE kind IN ('chip', 'unhealthy');"
    yield _Trigger("nodes_update_chips", "nodes", "UPDATE OF intent", retired, gone)
    come, go = _chips("NEW", 1), _chips("OLD", -1)
    columns = "present, health, vendor, type"
    yield _Trigger("chips_insert_counts", "chips", "INSERT", "", come)
    yield _Trigger("chips_update_counts", "chips", f"UPDATE OF {columns}", "", go + come)
    held, ended = "NEW.state = 'held'", "OLD.state = 'held' AND NEW.state <> 'held'"
    yield _Trigger(
        "leases_insert_counts", "leases", "INSERT", held, _add(_held(is_sqlite, "NEW", ""))
    )
    over = _add(_held(is_sqlite, "NEW", "-"))
    yield _Trigger("leases_update_counts", "leases", "UPDATE OF state", ended, over)


def _counted(table: str, columns: str, key: str, differs: str) -> Iterator[_Trigger]:
    come = _add(f"VALUES ({key.replace('{}', 'NEW')}, 1)")
    go = _add(f"VALUES ({key.replace('{}', 'OLD')}, -1)")
    yield _Trigger(f"{table}_insert_counts", table, "INSERT", "", come)
    yield _Trigger(f"{table}_update_counts", table, f"UPDATE OF {columns}", differs, go + come)


def _chips(row: str, by: int) -> str:
    """A chip in the pool: present, on a node that was not retired."""
    here = f"FROM nodes WHERE id = {row}.node_id AND intent <> 'retired' AND {row}.present"
    key = f"{row}.vendor, {row}.type, '', {by}"
    return _add(f"SELECT 'chip', {key} {here}") + _add(
        f"SELECT 'unhealthy', {key} {here} AND {row}.health = 'unhealthy'"
    )


def _held(is_sqlite: bool, lease: str, sign: str, source: str = "", where: str = "true") -> str:
    """Thousandths that a lease holds, by vendor, type and queue. A lease begins and ends whatever
    its document lacks.
    """
    each, field = (
        ("json_each", "json_extract(c.value, '$.{}')")
        if is_sqlite
        else ("json_array_elements", "(c.value ->> '{}')")
    )
    vendor, type_ = (f"coalesce({field.format(it)}, '')" for it in ("vendor", "type"))
    milli = field.format("milli")
    return (
        f"SELECT 'held', {vendor}, {type_}, {lease}.queue, {sign}sum(CAST({milli} AS BIGINT))"
        f" FROM {source}{each}({lease}.chips) AS c WHERE {where}"
        f" GROUP BY {vendor}, {type_}, {lease}.queue"
    )


def _add(rows: str) -> str:
    return (
        f"INSERT INTO counts (kind, first, second, third, number) {rows}"
        " ON CONFLICT (kind, first, second, third)"
        " DO UPDATE SET number = counts.number + excluded.number;"
    )


def _what_is_there(is_sqlite: bool) -> Iterator[str]:
    chips = (
        "SELECT '{}', vendor, type, '', count(*) FROM chips WHERE present AND node_id NOT IN"
        " (SELECT id FROM nodes WHERE intent = 'retired'){} GROUP BY vendor, type"
    )
    for rows in (
        "SELECT 'job', project_id, queue, state, count(*) FROM jobs GROUP BY 2, 3, 4",
        "SELECT 'node', health, intent, '', count(*) FROM nodes GROUP BY 2, 3",
        chips.format("chip", ""),
        chips.format("unhealthy", " AND health = 'unhealthy'"),
        _held(is_sqlite, "leases", "", "leases, ", "leases.state = 'held'"),
    ):
        yield f"INSERT INTO counts (kind, first, second, third, number) {rows}"
