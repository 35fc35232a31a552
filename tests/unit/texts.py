"""Text of every awkward kind for property tests of the unit tier.

Hypothesis' own alphabet is all of Unicode, whose table takes a second to build in a fresh clone.
"""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

AWKWARD: Final = (
    *map(chr, range(0x20, 0x7F)), *"\0\a\b\t\n\r\x1b\x7f\x85\xa0\xad", *"äßıſﬁ²½",
    "\u0301", "\u200d",
    *"\u2028\u2029", *"\u202e\u2066\u05d0\u0645", *"漢字中ｱ", *"\U0001f600\U0001f1e9\U000e0041",
    *"\ue000\ufdd0\ufeff\ufffd\uffff\U0010ffff",
)  # fmt: skip
"""Printable ASCII, controls, case that changes length, combining and joining marks, line ends,
both directions, wide letters, characters beyond 16 bits, and such that are none."""


def any_text(min_size: int = 0, max_size: int | None = None) -> st.SearchStrategy[str]:
    """Any text that can be encoded."""
    return st.text("".join(AWKWARD), min_size=min_size, max_size=max_size)
