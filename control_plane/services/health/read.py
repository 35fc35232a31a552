"""Whether the control plane can do its work, part by part."""

from __future__ import annotations

import time

from control_plane.errors import Unavailable
from control_plane.services.deps import Deps
from control_plane.services.scheduling.lead import look_at_leader
from control_plane.store.database.migrate import read_schema
from penstock.api.health import Part, Readiness
from penstock.catalogue.violation import violation


def readiness(deps: Deps) -> Readiness:
    """All parts, `degraded` where only the storage is not well: jobs run and the API answers
    without it. Raises Unavailable `not_ready` naming the other parts that are not.
    """
    parts = {"database": _database(deps)}
    if parts["database"].ok:
        parts["migrations"] = _migrations(deps)
    if all(part.ok for part in parts.values()):
        parts["scheduler"] = _scheduler(deps)
    broken = [
        violation(f"/parts/{name}", "said", said=part.message)
        for name, part in parts.items()
        if not part.ok
    ]
    if broken:
        names = [one.pointer.rpartition("/")[2] for one in broken]
        raise Unavailable("not_ready", parts=names, violations=broken)
    parts["storage"] = deps.storage_probe.look(deps.logs.probe)
    return Readiness(status="ready" if parts["storage"].ok else "degraded", parts=parts)


def _database(deps: Deps) -> Part:
    database = deps.store.database
    obstacle = database.obstacle()
    return Part(ok=obstacle is None, message=obstacle or database.engine.dialect.name)


def _migrations(deps: Deps) -> Part:
    schema = read_schema(deps.store.database)
    return Part(ok=schema.obstacle is None, message=schema.obstacle or schema.description)


def _scheduler(deps: Deps) -> Part:
    now_s = time.monotonic()
    seen = look_at_leader(deps, deps.leader, now_s)
    obstacle = deps.leader.obstacle(now_s, deps.rules.leader_term_s)
    if obstacle is not None or seen is None:
        return Part(ok=False, message=obstacle or "no scheduler has led yet")
    return Part(ok=True, message=f"one leads under epoch {seen.epoch}")
