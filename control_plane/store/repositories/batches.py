"""Cuts what is long into batches: a database takes some ten thousand values in a statement, and
rows by the hundred thousand need not be in memory together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

BATCH: Final = 1000
ItemT = TypeVar("ItemT")


def in_batches(items: Sequence[ItemT], size: int = BATCH) -> Iterator[Sequence[ItemT]]:
    """The items in order, `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def few_or_all(ids: Sequence[ItemT], num_all: int) -> Iterator[Sequence[ItemT] | None]:
    """The ids in batches, or None, which stands for all there are, where most of them are meant:
    a database reads a table faster than long lists of its keys.
    """
    if 2 * len(ids) > num_all:
        yield None
    else:
        yield from in_batches(ids)
