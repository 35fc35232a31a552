"""The names that a wish for chips may use in this cloud."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from control_plane.store.unit_of_work import Transaction
from penstock.api.errors import Violation
from penstock.api.vendors import vendor_table
from penstock.catalogue.violation import violation
from penstock.documents.violations import nearest

ANY: Final = "any"


def chip_types(tx: Transaction) -> list[str]:
    """Types that a node has or had, and types that the vendor table names."""
    seen = tx.chips.types()
    return [*seen, *sorted(table_types().difference(seen))]


@cache
def table_types() -> frozenset[str]:
    """Types that the vendor table names."""
    return frozenset(
        name
        for vendor in vendor_table().values()
        for key, emulated in vendor.types.items()
        for name in (key, emulated.stands_for)
    )


def unknown_chip(pointer: str, name: str, allowed: Sequence[str]) -> Violation:
    """What is wrong with the name of a chip that is none of those allowed."""
    word, meant = name[:80], nearest(name, allowed)
    return violation(
        pointer, "no_such_chip", received=word, allowed=allowed, did_you_mean=meant, name=word
    )
