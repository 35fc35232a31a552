"""What is remembered of objects."""

from __future__ import annotations

from control_plane.store.remembered import Remembered
from control_plane.store.repositories.changes import Place


def test_a_value_is_good_until_the_next_change() -> None:
    known = Remembered[str]()
    known.put("a", Place(0, 1), "first")
    assert known.get("a", Place(0, 1)) == "first"
    assert known.get("a", Place(0, 2)) is None
    assert known.get("a", None) is None
    assert known.get("b", Place(0, 1)) is None
    known.put("a", Place(0, 2), "second")
    assert known.get("a", Place(0, 2)) == "second"


def test_no_more_than_so_many_are_kept() -> None:
    known = Remembered[int](most=3)
    for number in range(10):
        known.put(str(number), Place(0, number), number)
        kept = [it for it in range(10) if known.get(str(it), Place(0, it)) is not None]
        assert number in kept
        assert len(kept) <= 3
