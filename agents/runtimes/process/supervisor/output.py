"""Carries the replica's output into its log file: holds the writer up, or sheds, when it is full.

Shipping is the agent's: it tells how far it came, so that a log cannot fill the disk of a node
whose control plane is away or slow. While shipping gets on, a replica that writes faster waits,
as at any slow terminal; where it does not get on, the replica is not held up for longer than a
given patience, and only the newest output is kept.
"""

from __future__ import annotations

import os

from agents.runtimes.process.supervisor import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_READ_BYTES: Final = 1 << 16
_FREE_BYTES: Final = 8 << 20
_TAIL_BYTES: Final = 256 << 10  # the newest output while shedding: an end explains itself there
_RESUME_RATIO: Final = 0.9  # of the cap: so that marker lines do not alternate with single lines


class Output:
    """The log of one replica. `written` and `shipped` are offsets in the log file.

    The file holds up to `cap_bytes` that are not shipped, passed at most by one read, what a pipe
    holds at the end and the newest output that was kept while shedding.
    """

    def __init__(self, source_fd: int, path: str, cap_bytes: int, patience_ns: int) -> None:
        self.source_fd = source_fd
        self.shipped = 0
        self._freed = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.written = os.fstat(self._file).st_size
        self._cap = cap_bytes
        self._patience_ns = patience_ns
        self._waits_since_ns: int | None = None
        self._ended = False
        self._shedding = False
        self._tail = bytearray()
        self._dropped = 0
        self._at_line_start = True

    def note_shipped(self, offset: int, now_ns: int) -> None:
        """What is shipped gives its disk space back, in large pieces; offsets stay as they are."""
        before = self.shipped
        self.shipped = max(before, min(offset, self.written))
        if self.shipped > before and self._waits_since_ns is not None:
            self._waits_since_ns = now_ns
        length = (self.shipped - self._freed) // _FREE_BYTES * _FREE_BYTES
        if length and kernel.free_blocks(self._file, self._freed, length):
            self._freed += length
        self._resume()

    def wants(self, now_ns: int) -> bool:
        """Whether to read now. While it is False the writer blocks as soon as its pipe is full."""
        if self._ended:
            return False
        if self._shedding or self._room() > 0:
            self._waits_since_ns = None
            return True
        if self._waits_since_ns is None:
            self._waits_since_ns = now_ns
        self._shedding = now_ns - self._waits_since_ns >= self._patience_ns
        return self._shedding

    def hurry(self) -> None:
        """From now on the writer is not held up: it has a deadline for what it still does."""
        self._patience_ns = 0

    def pump(self) -> None:
        """Takes what is there to read, once."""
        try:
            data = os.read(self.source_fd, _READ_BYTES)
        except BlockingIOError:
            return
        self._ended = not data  # no process holds the output open any more
        self._keep(data)

    def drain(self) -> None:
        """Takes everything that is left, without waiting for more, and closes the log."""
        while True:
            try:
                data = os.read(self.source_fd, _READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                break
            self._keep(data)
        self._catch_up()
        os.close(self._file)

    def _room(self) -> int:
        return self._cap - (self.written - self.shipped)

    def _keep(self, data: bytes) -> None:
        self._resume()
        if not self._shedding:
            data = data[self._append(data) :]
        if data:
            self._shedding = True  # also when the disk is full
            self._tail += data
            surplus = max(0, len(self._tail) - _TAIL_BYTES)
            self._dropped += surplus
            del self._tail[:surplus]

    def _resume(self) -> None:
        if self._shedding and self._room() >= self._cap * (1 - _RESUME_RATIO):
            self._catch_up()

    def _catch_up(self) -> None:
        """Ends the shedding, if the disk takes it: how much is missing, then the newest output."""
        if self._mark():
            del self._tail[: self._append(self._tail)]
            self._shedding = bool(self._tail)

    def _mark(self) -> bool:
        """Says in the log how much is missing here; False when even that cannot be written."""
        if not self._dropped:
            return True
        line_end = "" if self._at_line_start else "\n"
        text = f"{line_end}[penstock: {self._dropped} bytes of output dropped here: "
        text += "they came faster than logs could be stored]\n"
        if self._append(text.encode()) != len(text):
            return False
        self._dropped = 0
        return True

    def _append(self, data: bytes | bytearray) -> int:
        """How many bytes reached the file; fewer when the disk is full."""
        done = 0
        while done < len(data):
            try:
                done += os.write(self._file, data[done:])
            except OSError:
                break
        self.written += done
        if done:
            self._at_line_start = data[done - 1 : done] == b"\n"
        return done
