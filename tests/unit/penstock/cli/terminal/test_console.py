"""The two outputs: what goes where, and readers that go away."""

from __future__ import annotations

import io
import sys

import pytest

from penstock.cli.failures import ClosedPipe
from penstock.cli.terminal.console import Console


class ClosedStream(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """One terminal for both outputs."""
    both = Terminal()
    monkeypatch.setattr(sys, "stdout", both)
    monkeypatch.setattr(sys, "stderr", both)
    return both


def test_results_go_to_stdout_and_notes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(color=True)
    console.result("result")
    console.note("note")
    assert tuple(capsys.readouterr()) == ("result\n", "note\n")


def test_quiet_silences_notes_but_never_errors(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(color=True, quiet=True)
    console.note("note")
    console.error("error")
    assert capsys.readouterr().err == "error\n"


def test_there_is_no_colour_and_no_status_without_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console(color=True)
    console.status("50%")
    assert console.color("running", "green") == "running"
    assert capsys.readouterr().err == ""


def test_a_terminal_has_colours_unless_they_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    a_terminal(monkeypatch)
    assert Console(color=True).color("x", "green") == "\x1b[32mx\x1b[0m"
    assert Console(color=False).color("x", "green") == "x"


def test_output_is_passed_on_untouched_where_a_program_reads_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Console(color=True).output(b"\x1b[2Jraw\r\n")
    assert capsys.readouterr().out == "\x1b[2Jraw\r\n"


def test_no_byte_of_a_download_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Console(color=True).copy([b"\xff\xc3", b"\xa9\r\n\x1b[2J", b"end"])
    assert raw.getvalue() == b"\xff\xc3\xa9\r\n\x1b[2Jend"


def test_a_download_to_a_terminal_is_made_safe_wherever_its_blocks_are_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = a_terminal(monkeypatch)
    output = "10%\r20% é\r\n\x1b[31mred\x1b[0m\x1b[2J\nend".encode()
    Console(color=True).copy(output[at : at + 1] for at in range(len(output)))
    assert terminal.getvalue() == "20% é\n\x1b[31mred\x1b[0m\nend"


def test_a_colour_that_a_job_left_on_ends_with_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    Console(color=False).copy([b"\x1b[31mred\n"])
    assert terminal.getvalue() == "\x1b[31mred\n\x1b[0m"
    followed = Console(color=False)
    followed.output(b"\x1b[1;31mred\n")
    followed.output(b"still red\n")
    followed.end_output()
    assert terminal.getvalue().endswith("still red\n\x1b[0m")
    terminal.truncate(0)
    Console(color=False).copy([b"\x1b[31mred\x1b[0m\n"])
    assert terminal.getvalue().endswith("red\x1b[0m\n")


def test_a_progress_bar_is_drawn_over_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    console = Console(color=True)
    for piece in (b"before\n", b"\r 10%\r", b" 20%\r", b" 30%", b"\r 40%", b"\n", b"after\n"):
        console.output(piece)
    shown = terminal.getvalue().replace("\r\x1b[K", "<clear>")
    assert shown == "before\n 10%<clear> 20%<clear> 30%<clear> 40%\nafter\n"


def test_a_note_does_not_go_on_with_a_line_that_the_job_left_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = a_terminal(monkeypatch)
    console = Console(color=True)
    console.output(b"no line end")
    console.note("it succeeded")
    assert terminal.getvalue() == "no line end\nit succeeded\n"


def test_the_status_line_makes_room_for_output_and_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = a_terminal(monkeypatch)
    console = Console(color=True)
    console.status("50%")
    console.output(b"line\n")
    console.status("")
    assert terminal.getvalue() == "50%\r\x1b[Kline\n50%\r\x1b[K"


def test_a_closed_pipe_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", ClosedStream())
    with pytest.raises(ClosedPipe):
        Console(color=False).result("x")


def test_text_that_the_output_cannot_encode_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Console(color=False).result("作业")
    assert raw.getvalue() == b"\\u4f5c\\u4e1a\n"
