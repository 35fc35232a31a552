"""Text for terminals: what is safe to show, how wide it is, and in which colour."""

from __future__ import annotations

import re
from typing import Final

# Controls, and the marks that reorder text: a job's name must not drive the reader's terminal.
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ESCAPES: Final = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[P^_X][^\x1b]*(?:\x1b\\)?|\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[@-_]?"
)
_STYLE: Final = re.compile(r"\x1b\[[0-9;:]*m")
_KEPT: Final = "\t\n"
COLORS: Final = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36, "dim": 2, "bold": 1}
STATE_COLORS: Final = {
    **dict.fromkeys(("running", "succeeded", "ready", "healthy"), "green"),
    **dict.fromkeys(("queued", "starting", "stopping", "pending", "joining"), "yellow"),
    **dict.fromkeys(("cordoned", "draining", "suspect", "degraded", "unknown"), "yellow"),
    **dict.fromkeys(("failed", "lost", "unhealthy", "closed"), "red"),
    "cancelled": "dim",
}


def clean(text: str) -> str:
    """One line without control characters: what is dangerous is shown as its escape."""
    return _UNSAFE.sub(lambda match: _escape(match[0]), text)


def clean_output(text: str) -> str:
    """A job's own output for a terminal: colours stay, everything that moves the cursor goes."""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    text = "\n".join(lines)  # of what a progress bar drew over itself, the last
    kept = _ESCAPES.sub(lambda match: match[0] if _STYLE.fullmatch(match[0]) else "", text)
    return "".join(
        char for char in kept if char in _KEPT or char == "\x1b" or not _UNSAFE.match(char)
    )


def escape_json(text: str) -> str:
    """JSON in which what could drive a terminal is written as escapes; the value is the same."""
    return _UNSAFE.sub(
        lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text
    )


def width(text: str) -> int:
    """Columns that the text takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata  # not needed at most starts

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def paint(text: str, color: str) -> str:
    return f"\x1b[{COLORS[color]}m{text}\x1b[0m"


def _escape(char: str) -> str:
    code = ord(char)
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(
        char, f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    )
