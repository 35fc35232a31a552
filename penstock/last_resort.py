"""A standard error that never raises, for processes whose last resort is to log what went wrong.

Whatever happens to it (a full disk, a reader that is gone or frozen, a closed descriptor), a line
that cannot be written is counted instead, and how many that were is said once it works again.
Standard library only: server, agent and workload share it, and start fast.
"""

from __future__ import annotations

import io
import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

PIECE_BYTES: Final = 4096
"""A pipe that polls as writable takes so much without making the writer wait."""
PATIENCE_MS: Final = 200
MOST_PENDING: Final = 1 << 16

Processor = Callable[[Any, str, MutableMapping[str, Any]], Any]


class SafeStream(io.TextIOBase):
    """Lines to a descriptor. No method raises, or waits for longer than PATIENCE_MS; a reader
    that was waited for once is not waited for again before it reads.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self.dropped = 0
        """Lines that were not written, since the process began."""
        self._descriptor = descriptor
        self._lock = threading.RLock()  # a signal's handler may log while its thread does
        self._pending = ""
        self._untold = 0
        self._within_line = False
        self._stalled = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        """Whole lines go out at once, the rest with its end or at a flush."""
        with self._lock:
            self._pending += text
            lines, end, rest = self._pending.rpartition("\n")
            if len(rest) > MOST_PENDING:
                lines, end, rest = self._pending, "\n", ""
            self._pending = rest
            if end:
                self._send(lines + end)
        return len(text)

    def flush(self) -> None:
        with self._lock:
            text, self._pending = self._pending, ""
            if text:
                self._send(text)

    def close(self) -> None:
        """The descriptor is the process's, not ours: it stays open."""

    def _send(self, text: str) -> None:
        try:
            if self._untold:
                self._put(("\n" if self._within_line else "") + _notice(self._untold))
                self._untold = 0
            self._put(text)
        except Exception:  # process loop: who writes here has nowhere else to say it
            num_lines = max(1, text.count("\n"))
            self.dropped += num_lines
            self._untold += num_lines

    def _put(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        while data:
            self._await_room()
            written = os.write(self._descriptor, data[:PIECE_BYTES])
            self._within_line = not data[:written].endswith(b"\n")
            data = data[written:]

    def _await_room(self) -> None:
        """Files always have room to poll for; only writing tells whether their disk has."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        self._stalled = not poll.poll(0 if self._stalled else PATIENCE_MS)
        if self._stalled:
            raise BlockingIOError("nobody reads")


def install() -> SafeStream:
    """Makes standard error safe for everything that writes to it: loggers, warnings, tracebacks of
    threads and of the interpreter. A descriptor that the caller closed becomes `/dev/null`: else
    the next socket or file would get its number, and what is written to it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (open until the end)
    stream = SafeStream()
    sys.stderr = stream
    return stream


def rendered(*processors: Processor) -> Processor:
    """These processors of a structured log as one that never raises: of an event that cannot be
    rendered (a `repr` that fails, say) the name is left, and what its rendering failed with.
    """

    def render(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        name = event.get("event")
        out: Any = event
        try:
            for processor in processors:
                out = processor(logger, method, out)
        except Exception as error:  # process loop: whoever logs has something else to do
            known = name if isinstance(name, str) else ""
            return json.dumps(
                {"event": known, "level": method, "not_rendered": type(error).__name__}
            )
        return out

    return render


def _notice(num_lines: int) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    event = {
        "event": "log_lines_dropped",
        "count": num_lines,
        "level": "warning",
        "timestamp": moment,
    }
    return json.dumps(event) + "\n"
