"""Changes and counts as a caller may see them."""

from __future__ import annotations

from collections.abc import Iterable

from control_plane.services.deps import Caller
from control_plane.store.repositories.changes import Counts, Noted
from penstock.api.changes import Change, ChipCount
from penstock.api.changes import Counts as CountsView


def change_views(caller: Caller, rows: Iterable[Noted]) -> list[Change]:
    """The last of each object, in order. Tokens are listed to administrators only."""
    last = {row.object_id: row for row in rows if _may_see(caller, row)}
    return [
        Change(noun=row.noun, id=row.object_id, version=row.version, project=row.project_id)
        for row in last.values()
    ]


def count_views(caller: Caller, counts: Counts) -> CountsView:
    """Jobs of the caller's project, and the pool, of which everybody sees all."""
    jobs: dict[str, dict[str, int]] = {}
    for (project, queue, state), number in sorted(counts["job"].items()):
        if caller.sees in (None, project):
            states = jobs.setdefault(queue, {})
            states[state] = states.get(state, 0) + number
    nodes: dict[str, dict[str, int]] = {}
    for (health, intent, _), number in sorted(counts["node"].items()):
        nodes.setdefault(health, {})[intent] = number
    held: dict[tuple[str, str], int] = {}
    for (vendor, type_, _), milli in counts["held"].items():
        held[vendor, type_] = held.get((vendor, type_), 0) + milli
    chips = [
        ChipCount(
            vendor=vendor,
            type=type_,
            total=total,
            held=held.get((vendor, type_), 0) / 1000,
            unhealthy=counts["unhealthy"].get((vendor, type_, ""), 0),
        )
        for (vendor, type_, _), total in sorted(counts["chip"].items())
    ]
    return CountsView(jobs=jobs, nodes=nodes, chips=chips)


def _may_see(caller: Caller, row: Noted) -> bool:
    if caller.sees is None:
        return True
    return row.noun != "token" and row.project_id in (None, caller.sees)
