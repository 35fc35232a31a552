"""Streaming text: whole characters, the same text as decoding at once, nothing of a stop string."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.texts import any_text
from workloads.engine.text.detokenizer import MOST_HELD_TOKENS, Detokenizer, StopFinder


def decode_bytes(tokens: Sequence[int]) -> str:
    """A byte-level tokenizer whose tokens are single bytes."""
    return bytes(tokens).decode("utf-8", errors="replace")


def decode_words(tokens: Sequence[int]) -> str:
    """A tokenizer that drops the space before the first word, as sentencepiece does."""
    return " ".join(f"w{token}" for token in tokens)


def streamed(text: bytes, prompt: bytes = b"") -> list[str]:
    detokenizer = Detokenizer(decode_bytes, list(prompt))
    return [*(detokenizer.push(byte) for byte in text), detokenizer.flush()]


@pytest.mark.parametrize("prompt", [b"", b"plain", "naïve".encode(), "你".encode()[:2]])
@given(text=any_text(max_size=30))
def test_streamed_text_is_the_text(prompt: bytes, text: str) -> None:
    assert "".join(streamed(text.encode(), prompt)) == text


@given(text=any_text(min_size=1, max_size=10))
def test_no_piece_ever_holds_half_a_character(text: str) -> None:
    assert all("\ufffd" not in piece for piece in streamed(text.replace("\ufffd", "").encode()))


@given(st.binary(max_size=MOST_HELD_TOKENS - 1))
def test_bytes_that_are_no_text_stream_as_they_decode(raw: bytes) -> None:
    assert "".join(streamed(raw)) == decode_bytes(raw)


def test_endless_garbage_is_not_held_for_ever() -> None:
    pieces = streamed(b"\x80" * 3 * MOST_HELD_TOKENS)
    assert sum(map(len, pieces[: 2 * MOST_HELD_TOKENS])) > 0


def test_a_space_between_words_survives_the_boundary_to_the_prompt() -> None:
    detokenizer = Detokenizer(decode_words, [1])
    assert detokenizer.push(2) + detokenizer.push(3) + detokenizer.flush() == " w2 w3"


def test_a_stop_string_across_pieces_is_cut_with_all_after_it() -> None:
    finder = StopFinder(["END"])
    pieces = [finder.push(piece) for piece in ("abcE", "N", "Dxyz")]
    assert pieces == ["abc", "", ""]
    assert finder.found
    assert finder.flush() == ""


def test_what_looked_like_a_stop_string_is_given_out_after_all() -> None:
    finder = StopFinder(["END"])
    assert finder.push("aEN") + finder.push("E") + finder.flush() == "aENE"
    assert not finder.found


def test_the_earliest_of_several_stop_strings_counts() -> None:
    finder = StopFinder(["yz", "x"])
    assert finder.push("abxyz") == "ab"


@given(
    text=st.text("ab", max_size=30),
    stop=st.text("ab", min_size=1, max_size=4),
    size=st.integers(1, 5),
)
def test_cutting_piecewise_equals_cutting_the_whole(text: str, stop: str, size: int) -> None:
    finder = StopFinder([stop])
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    given_out = "".join(finder.push(piece) for piece in pieces) + finder.flush()
    assert given_out == text.split(stop)[0]
    assert finder.found == (stop in text)
