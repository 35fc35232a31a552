"""The command's two outputs: results to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from typing import Final, TextIO

from penstock.cli.failures import ClosedPipe
from penstock.cli.terminal.text import RESET, OutputCleaner, clean_output, is_styled_after, paint

_CLEAR_LINE: Final = "\r\x1b[K"


class Console:
    """Writes without ever showing a traceback for a reader that went away. Thread-safe."""

    def __init__(self, *, color: bool, quiet: bool = False) -> None:
        self.quiet = quiet
        self._color_wanted = color
        self._lock = threading.RLock()
        self._status = ""
        self._mid_line = False
        self._returned = False
        self._styled = False

    @property
    def out_is_terminal(self) -> bool:
        return _is_terminal(sys.stdout)

    @property
    def err_is_terminal(self) -> bool:
        return _is_terminal(sys.stderr)

    @property
    def columns(self) -> int:
        """Width of the terminal that stdout is; without one, wide enough not to cut anything."""
        return _columns(sys.stdout)

    @property
    def columns_of_stderr(self) -> int:
        return _columns(sys.stderr)

    def color(self, text: str, name: str) -> str:
        """The text in a colour where stdout shows colours."""
        return paint(text, name) if self._color_wanted and self.out_is_terminal else text

    def result(self, text: str) -> None:
        """One whole result and a line end, to stdout."""
        self.raw(text + "\n")

    def raw(self, text: str) -> None:
        """Text to stdout as it is, at once."""
        with self._lock:
            self._hide_status()
            _write(sys.stdout, text)
            self._styled = is_styled_after(text, self._styled)
            self._mid_line = not text.removesuffix(RESET).endswith("\n")
            self._show_status()

    def output(self, piece: bytes) -> None:
        """A piece of a job's output, up to where a line may be cut; made safe where it goes to a
        terminal, untouched elsewhere.
        """
        if not self.out_is_terminal:
            _write_bytes(sys.stdout, piece)
            return
        text = piece.decode("utf-8", "replace")
        with self._lock:
            draws_over = self._mid_line and (self._returned or text.startswith("\r"))
            self._returned = text.endswith("\r")
            self.raw((_CLEAR_LINE if draws_over else "") + clean_output(text))

    def copy(self, blocks: Iterable[bytes]) -> None:
        """A job's output in blocks cut anywhere."""
        cleaner = OutputCleaner()
        for block in blocks:
            if self.out_is_terminal:
                self.raw(cleaner.feed(block))
            else:
                _write_bytes(sys.stdout, block)
        self.raw(cleaner.feed(b"", final=True))
        self.end_output()

    def end_output(self) -> None:
        """After a job's output: no colour that it left on goes over what comes next."""
        if self._styled and self.out_is_terminal:
            self.raw(RESET)

    def note(self, text: str) -> None:
        """Something said along the way, to stderr; silent with -q."""
        if not self.quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """A line to stderr, below what a job may have left on the terminal without a line end."""
        with self._lock:
            self._hide_status()
            below = self._mid_line and self.out_is_terminal and self.err_is_terminal
            self._mid_line = self._mid_line and not below
            _write(sys.stderr, ("\n" if below else "") + text + "\n")
            self._show_status()

    def status(self, text: str) -> None:
        """A line at the bottom of the terminal that replaces the one before; empty removes it."""
        if not self.err_is_terminal:
            return
        with self._lock:
            self._hide_status()
            self._status = text
            self._show_status()

    def _hide_status(self) -> None:
        if self._status:
            _write(sys.stderr, _CLEAR_LINE)

    def _show_status(self) -> None:
        # Never in the middle of a line that the job has not ended yet.
        if self._status and not self._mid_line:
            _write(sys.stderr, self._status)


def silence_outputs() -> None:
    """Sends what Python still holds for a closed pipe to nowhere, so that exiting is quiet."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(null, stream.fileno())


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError as error:
        raise ClosedPipe from error
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()


def _write_bytes(stream: TextIO, data: bytes) -> None:
    try:
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()
    except BrokenPipeError as error:
        raise ClosedPipe from error


def _columns(stream: TextIO) -> int:
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return columns or 10_000


def _is_terminal(stream: TextIO) -> bool:
    return not stream.closed and stream.isatty()
