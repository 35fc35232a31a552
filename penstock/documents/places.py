"""Where everything in a document stands: kept as a tree, looked up by JSON pointer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from penstock.documents.model import Place, escape_pointer

_NOTHING: Final[Mapping[str, Spot]] = {}


class Spot(NamedTuple):
    """Where a value stands, and the values in it by key or index."""

    place: Place
    inner: Mapping[str, Spot] = _NOTHING


class Places(Mapping[str, Place]):
    """No pointer is made before one is asked for: together they may be far longer than the text."""

    def __init__(self, root: Spot) -> None:
        self._root = root

    def __getitem__(self, pointer: str) -> Place:
        spot = self._root
        for step in pointer.split("/")[1:]:
            spot = spot.inner[step.replace("~1", "/").replace("~0", "~")]
        return spot.place

    def __iter__(self) -> Iterator[str]:
        return _pointers(self._root, "")

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _pointers(spot: Spot, pointer: str) -> Iterator[str]:
    yield pointer
    for step, inner in spot.inner.items():
        yield from _pointers(inner, f"{pointer}/{escape_pointer(step)}")
