"""What was made of objects, to be used again as long as nothing of them has changed."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from control_plane.store.repositories.changes import Place

MOST: Final = 4096
ValueT = TypeVar("ValueT")


class Remembered(Generic[ValueT]):
    """Values by the id of their object and its last change. Any number of threads may ask."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[str, tuple[Place, ValueT]] = {}

    def get(self, object_id: str, change: Place | None) -> ValueT | None:
        """None where nothing was made of it since."""
        place, value = self._kept.get(object_id, (None, None))
        return value if place is not None and place == change else None

    def put(self, object_id: str, change: Place, value: ValueT) -> None:
        """Forgets all others where there are too many."""
        if len(self._kept) >= self._most and object_id not in self._kept:
            self._kept = {}
        self._kept[object_id] = change, value
