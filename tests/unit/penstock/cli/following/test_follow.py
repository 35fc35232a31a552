"""What several replicas say stands one below the other, each line behind its rank."""

from __future__ import annotations

import base64
from typing import Any

from penstock.cli.following.follow import Layout


def _shown(*lines: dict[str, Any], prefixed: bool = True) -> bytes:
    layout = Layout(prefixed=prefixed)
    return b"".join([*map(layout.piece, lines), layout.end()])


def _line(rank: int, text: str, **more: Any) -> dict[str, Any]:
    return {"replica": f"replica_{rank}", "rank": rank, "gang": 0, "attempt": 1, "text": text,
            **more}  # fmt: skip


def test_each_line_is_behind_its_rank() -> None:
    assert _shown(_line(0, "a"), _line(1, "b"), _line(0, "")) == b"[0] a\n[1] b\n[0] \n"


def test_the_pieces_of_a_long_line_join() -> None:
    pieces = [_line(0, "x" * 5, partial=True), _line(0, "y" * 5, partial=True), _line(0, "z")]
    assert _shown(*pieces) == b"[0] xxxxxyyyyyz\n"
    assert _shown(*pieces, prefixed=False) == b"xxxxxyyyyyz\n"


def test_another_ranks_line_never_lands_within_a_long_one() -> None:
    shown = _shown(_line(0, "xx", partial=True), _line(1, "b"), _line(0, "yy"))
    assert shown == b"[0] xx\n[1] b\n[0] yy\n"


def test_an_output_that_ends_within_a_line_stays_so_only_alone() -> None:
    rest = _line(0, "rest", partial=True)
    assert _shown(rest, prefixed=False) == b"rest"
    assert _shown(rest) == b"[0] rest\n"


def test_bytes_that_are_no_text_are_printed_as_they_were() -> None:
    raw = base64.b64encode(b"\xff\xfe").decode()
    assert _shown(_line(0, "\ufffd\ufffd", raw=raw), prefixed=False) == b"\xff\xfe\n"


def test_later_attempts_and_replicas_of_servers_are_told_apart() -> None:
    assert _shown(_line(0, "a", attempt=2), _line(2, "b", gang=2)) == b"[2.0] a\n[2] b\n"


def test_a_line_that_draws_over_itself_keeps_its_rank() -> None:
    drawn = [_line(0, "\r 10%\r", partial=True), _line(0, " 20%\r", partial=True), _line(0, "done")]
    assert _shown(*drawn) == b"[0] \r[0]  10%\r[0]  20%\r[0] done\n"
    assert _shown(_line(0, "text\r")) == b"[0] text\r\n"
    assert _shown(*drawn, prefixed=False) == b"\r 10%\r 20%\rdone\n"
    again = [_line(0, "a", partial=True), _line(0, "\rb", partial=True), _line(1, "c")]
    assert _shown(*again) == b"[0] a\r[0] b\n[1] c\n"
