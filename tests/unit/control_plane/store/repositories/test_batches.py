"""Batches: everything once, in order, and none too long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from control_plane.store.repositories.batches import in_batches


@given(items=st.lists(st.integers()), size=st.integers(1, 7))
def test_batches_together_are_the_list(items: list[int], size: int) -> None:
    batches = list(in_batches(items, size))
    assert [item for batch in batches for item in batch] == items
    assert all(1 <= len(batch) <= size for batch in batches)
