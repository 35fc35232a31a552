"""Sentences that hold a job's own words drive nobody's terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.safe_text import UNSAFE, one_line
from tests.unit.texts import any_text


def test_escapes_controls_and_line_ends_go() -> None:
    text = "\x1b[31mValueError\x1b[0m:\tbad\x00 \u202evalue\r\n\x1b]0;title\x07 end "
    assert one_line(text, 100) == "ValueError: bad value end"


def test_a_long_text_is_cut_visibly() -> None:
    assert one_line("x" * 10, 10) == "x" * 10
    assert one_line("x" * 11, 10) == "x" * 9 + "…"


@given(any_text(), st.integers(1, 50))
def test_nothing_unsafe_and_nothing_too_long_comes_through(text: str, most: int) -> None:
    line = one_line(text, most)
    assert not UNSAFE.search(line)
    assert len(line) <= most
