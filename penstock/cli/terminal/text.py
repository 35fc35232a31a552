"""Text for terminals: what is safe to show, how wide it is, and in which colour."""

from __future__ import annotations

import codecs
import re
from typing import Final

from penstock.safe_text import ESCAPES, UNSAFE

RESET: Final = "\x1b[0m"
_STYLE: Final = re.compile(r"\x1b\[[0-9;:]*m")
_RESETTING: Final = re.compile(r"\x1b\[0*m")
# The unsafe ones but for tabs, line feeds and the escapes that were found harmless.
_DROPPED: Final = re.compile(
    r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_LONGEST: Final = 1 << 16
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
    return UNSAFE.sub(lambda match: _escape(match[0]), text)


def clean_output(text: str) -> str:
    """A job's own output for a terminal: colours stay, everything that moves the cursor goes."""
    if "\r" in text:  # of what a progress bar drew over itself, the last
        lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
        text = "\n".join(lines)
    kept = ESCAPES.sub(lambda match: match[0] if _STYLE.fullmatch(match[0]) else "", text)
    return _DROPPED.sub("", kept)


class OutputCleaner:
    """Cleans output that comes in pieces cut anywhere: a line is shown once it is whole."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """What can be shown by now; at `final`, all of it. A line has 64 Ki characters at most."""
        text = self._rest + self._decode(data, final)
        size = len(text) if final or len(text) > _LONGEST else text.rfind("\n") + 1
        self._rest = text[size:]
        return clean_output(text[:size])


def escape_json(text: str) -> str:
    """JSON in which what could drive a terminal is written as escapes; the value is the same."""
    return UNSAFE.sub(
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


def is_styled_after(text: str, before: bool) -> bool:
    """Whether the text leaves a terminal in a colour; `before` is how it found it."""
    styles = _STYLE.findall(text)
    return not _RESETTING.fullmatch(styles[-1]) if styles else before


def paint(text: str, color: str) -> str:
    return f"\x1b[{COLORS[color]}m{text}{RESET}"


def _escape(char: str) -> str:
    code = ord(char)
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(
        char, f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    )
