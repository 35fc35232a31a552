"""Token counts out of answers that pass through in any pieces."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.gateway.usage import UsageReader

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
WORDS = ["one", "two\n", "thr\r\nee"]
cuts = st.lists(st.integers(0, 600), max_size=12)


@given(cuts, st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_a_stream_is_counted_however_it_is_cut(cuts: list[int], hides: bool, end: str) -> None:
    whole = _stream(end)
    reader = UsageReader(streamed=True, hides_usage=hides)
    passed = _feed(reader, whole, cuts)
    assert (reader.prompt_tokens, reader.completion_tokens) == (7, 3)
    assert passed == (_stream(end, usage=False) if hides else whole)


@given(cuts)
def test_a_plain_answer_passes_unchanged_and_is_counted(cuts: list[int]) -> None:
    whole = json.dumps({"choices": [{"text": "hi"}], "usage": USAGE}).encode()
    reader = UsageReader(streamed=False)
    assert _feed(reader, whole, cuts) == whole
    assert (reader.prompt_tokens, reader.completion_tokens) == (7, 3)


@given(cuts, st.integers(0, 300))
def test_a_stream_that_was_cut_off_counts_its_chunks(cuts: list[int], length: int) -> None:
    whole = _stream("\n", usage=False)[:length]
    reader = UsageReader(streamed=True, hides_usage=True)
    assert _feed(reader, whole, cuts) == whole, "half an event goes out at the end"
    assert reader.completion_tokens == whole.count(b"}\n\n")


def test_the_usage_inside_a_chunk_with_choices_is_counted_and_stays() -> None:
    """Some engines put it into the last chunk."""
    event = _event({"choices": [{"delta": {}}], "usage": USAGE}, "\n")
    reader = UsageReader(streamed=True, hides_usage=True)
    assert _feed(reader, event, []) == event
    assert (reader.prompt_tokens, reader.completion_tokens) == (7, 3)


@pytest.mark.parametrize(
    "usage", [None, [], "x", {"prompt_tokens": "x"}, {"prompt_tokens": -1}, {"prompt_tokens": 1e9},
              {"prompt_tokens": True}, {"completion_tokens": 2**70}]
)  # fmt: skip
def test_counts_that_are_none_count_nothing(usage: object) -> None:
    for streamed in (True, False):
        document = {"choices": [], "usage": usage}
        whole = _event(document, "\n") if streamed else json.dumps(document).encode()
        reader = UsageReader(streamed)
        _feed(reader, whole, [])
        assert (reader.prompt_tokens, reader.completion_tokens) in ((0, 0), (0, 1))


@given(st.binary(max_size=200), st.booleans(), st.booleans(), cuts)
def test_whatever_an_engine_sends_passes(
    data: bytes, streamed: bool, hides: bool, cuts: list[int]
) -> None:
    assert _feed(UsageReader(streamed, streamed and hides), data, cuts) == data


def _stream(end: str, usage: bool = True) -> bytes:
    """As our engine sends it, with the usage asked for."""
    chunks = [_event({"choices": [{"delta": {"content": word}}]}, end) for word in WORDS]
    last = [_event({"choices": [], "usage": USAGE}, end)] if usage else []
    return b"".join([*chunks, *last, f"data: [DONE]{end}{end}".encode()])


def _event(document: object, end: str) -> bytes:
    return f"data: {json.dumps(document)}{end}{end}".encode()


def _feed(reader: UsageReader, whole: bytes, cuts: list[int]) -> bytes:
    """What the client gets of it."""
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[start:stop] for start, stop in itertools.pairwise(edges)]
    return b"".join(map(reader.feed, pieces)) + reader.close()
