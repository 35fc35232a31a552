"""Lines out of log bytes: whole, once, resumable at each; positions as opaque words."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import Invalid
from control_plane.services.logs import lines as log_lines
from control_plane.services.logs.lines import BLOCK_BYTES, Line, next_lines, tail_start
from control_plane.services.logs.positions import Spot, decode, entries, seal
from control_plane.store.repositories.replicas import LogEnd
from penstock.api.ids import ReplicaId

BLOCK = 256
"""Long enough for its edges, short enough for many examples."""


class Kept:
    """Bytes of one log in memory (`LogBytes`)."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, replica_id: str, offset: int, limit: int) -> bytes:
        return self.data[offset : offset + limit]

    def next_kept(self, replica_id: str, offset: int) -> int | None:
        return None

    def write(self, replica_id: str, offset: int, data: bytes) -> None:
        self.data = self.data[:offset] + data

    def delete(self, replica_id: str) -> None:
        self.data = b""

    def probe(self) -> None:
        pass


def _log(end: int, **more: Any) -> LogEnd:
    known: dict[str, Any] = {"state": "running", "exit": None, "ended_at": None, **more}
    return LogEnd(
        ReplicaId("replica_1"), 0, 1, 0, known["state"], end, known["exit"], known["ended_at"]
    )


def _all(data: bytes, offset: int = 0, *, complete: bool = True) -> list[Line]:
    lines: list[Line] = []
    while found := next_lines(Kept(data), _log(len(data)), offset, complete=complete):
        lines += found
        offset = found[-1].end
    return lines


LOGS = st.lists(st.sampled_from(["a", "", "é\r%", "x" * 30, "\x1b[0m"]), max_size=30)


@given(LOGS, st.booleans())
def test_lines_come_once_and_whole(texts: list[str], ends: bool) -> None:
    data = ("\n".join(texts) + ("\n" if ends and texts else "")).encode()
    wanted = data.decode().split("\n")
    if wanted[-1] == "":
        wanted.pop()
    lines = _all(data)
    assert [line.text for line in lines] == wanted
    for position, line in enumerate(lines):
        assert _all(data, line.end) == lines[position + 1 :]


def test_a_line_that_is_not_whole_is_held_back() -> None:
    assert [line.text for line in _all(b"one\ntw", complete=False)] == ["one"]
    assert [line.text for line in _all(b"one\ntw", complete=True)] == ["one", "tw"]


def test_a_line_longer_than_a_block_comes_in_pieces() -> None:
    data = b"z" * (2 * BLOCK_BYTES + 10) + b"\nend\n"
    lines = _all(data, complete=False)
    assert [len(line.text) for line in lines] == [BLOCK_BYTES, BLOCK_BYTES, 10, 3]
    assert [line.whole for line in lines] == [False, False, True, True]


@given(
    st.lists(st.sampled_from([b"\n", b"a", "é漢🎛".encode(), b"\xff", b"\xe6\xbc", b"\r"])),
    st.integers(0, 5), st.booleans(),
)  # fmt: skip
def test_no_byte_is_lost_or_changed_and_no_character_is_cut(
    parts: list[bytes], shift: int, complete: bool
) -> None:
    part = b"".join(parts)
    data = b"x" * shift + part * (BLOCK * 2 // max(1, len(part)) + 1)
    with patch.object(log_lines, "BLOCK_BYTES", BLOCK):
        lines = _all(data, complete=complete)
    given_out = b"".join(line.data + (b"\n" if line.whole else b"") for line in lines)
    assert data.startswith(given_out)
    assert complete <= (given_out == data)
    for line in lines:
        assert len(line.data) <= BLOCK
    if not any(bad in parts for bad in (b"\xff", b"\xe6\xbc")):
        assert "\ufffd" not in "".join(line.text for line in lines)


def test_a_progress_bar_is_seen_while_it_is_drawn() -> None:
    drawn = _all(b"begin\n\r 10%\r 20%\r 30%", complete=False)
    assert [(line.data, line.whole) for line in drawn] == [
        (b"begin", True),
        (b"\r 10%\r 20%\r", False),
    ]
    assert _all(b"\r 10%", complete=False) == []
    assert _all(b"line\r", complete=False) == [], "its line feed may come"
    (line,) = _all(b"a\rb\n", complete=False)
    assert (line.data, line.whole) == (b"a\rb", True)


def test_an_output_that_ends_within_a_line_says_so() -> None:
    assert [line.whole for line in _all(b"one\ntwo")] == [True, False]
    assert [line.whole for line in _all(b"one\ntwo\n")] == [True, True]


def test_missing_bytes_are_one_line_and_no_endless_wait() -> None:
    log = _log(100)
    (line,) = next_lines(Kept(b""), log, 40, complete=False)
    assert "60 bytes" in line.text
    assert line.end == 100
    cut = next_lines(Kept(b"x" * 50), log, 40, complete=False)
    assert [(one.text, one.whole) for one in cut] == [("x" * 10, True)]


@given(LOGS, st.booleans(), st.integers(0, 40))
def test_the_tail_is_the_last_lines(texts: list[str], ends: bool, count: int) -> None:
    data = ("\n".join(texts) + ("\n" if ends and texts else "")).encode()
    start = tail_start(Kept(data), _log(len(data)), count)
    everything = _all(data)
    assert _all(data, start) == (everything[-count:] if count else [])


def test_a_tail_over_many_blocks() -> None:
    data = b"".join(b"%d %s\n" % (number, b"x" * 500) for number in range(1000))
    start = tail_start(Kept(data), _log(len(data)), 700)
    assert data[start:].startswith(b"300 ")


@given(st.dictionaries(
    st.builds(Spot, st.integers(0, 999), st.integers(0, 99), st.integers(0, 9999)),
    st.integers(1, 2**50), max_size=20,
))  # fmt: skip
def test_positions_survive_the_trip(offsets: dict[Spot, int]) -> None:
    word = seal(entries(offsets))
    assert decode(word) == offsets
    assert word.isascii()
    assert "\n" not in word


@pytest.mark.parametrize(
    "word", ["", "x", "MTs=x", "é", "a" * 5000, "MjswLjEuMD0z", "MTswLjEuMD0tMQ"]
)
def test_a_foreign_position_is_refused(word: str) -> None:
    with pytest.raises(Invalid) as refused:
        decode(word)
    assert refused.value.code == "bad_last_event_id"
