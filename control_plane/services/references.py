"""Refusals of references: to nothing, to an object of another kind, to one of several."""

from __future__ import annotations

from control_plane.errors import Conflict, NotFound
from control_plane.store.repositories.base import Ambiguous
from penstock.api.ids import noun_of


def not_found(noun: str, ref: str, hint: str | None = None) -> NotFound:
    """There is no such object, or none that the caller may see."""
    other = noun_of(ref)
    if other not in (None, noun):
        message = f"there is no {noun} {ref!r}: that is the id of a {other}"
    else:
        message = f"there is no {noun} {ref!r}"
    return NotFound(message, code=f"{noun}_not_found", hint=hint)


def ambiguous(noun: str, ref: str, found: Ambiguous) -> Conflict:
    """An administrator's name that stands for an object in each of several projects."""
    choices = ", ".join(f"{id_} (project {project})" for id_, project in found.choices)
    return Conflict(
        f"{ref} is the name of a {noun} in each of several projects",
        code="ambiguous_name",
        hint=f"give the id: {choices}",
    )
