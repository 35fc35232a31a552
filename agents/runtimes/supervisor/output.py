"""Carries the replica's output into its log file, and sheds what can be neither kept nor shipped.

Shipping is the agent's: it tells how far it came, so that a log cannot fill the disk of a node
whose control plane is away or slow.
"""

from __future__ import annotations

import os

from agents.runtimes.supervisor import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_READ_BYTES: Final = 1 << 16
_FREE_BYTES: Final = 8 << 20
_RESUME_RATIO: Final = 0.9  # of the cap: so that marker lines do not alternate with single lines


class Output:
    """The log of one replica. `written` and `shipped` are offsets in the log file."""

    def __init__(self, source_fd: int, path: str, cap_bytes: int) -> None:
        self.source_fd = source_fd
        self.shipped = 0
        self._freed = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.written = os.fstat(self._file).st_size
        self._cap = cap_bytes
        self._shed = 0
        self._at_line_start = True

    def note_shipped(self, offset: int) -> None:
        """What is shipped gives its disk space back, in large pieces; offsets stay as they are."""
        self.shipped = max(self.shipped, min(offset, self.written))
        length = (self.shipped - self._freed) // _FREE_BYTES * _FREE_BYTES
        if length and kernel.free_blocks(self._file, self._freed, length):
            self._freed += length

    def pump(self) -> bool:
        """Takes what is there to read; False once no process holds the output open any more."""
        try:
            data = os.read(self.source_fd, _READ_BYTES)
        except BlockingIOError:
            return True
        if data:
            self._keep(data)
        return bool(data)

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
        self._mark()
        os.close(self._file)

    def _keep(self, data: bytes) -> None:
        room = self._cap - (self.written - self.shipped)
        if self._shed and room < self._cap * (1 - _RESUME_RATIO):
            room = 0
        kept = data[: max(0, room)]
        if kept and self._shed and not self._mark():
            kept = b""
        self._shed += len(data) - (self._append(kept) if kept else 0)

    def _mark(self) -> bool:
        """Says in the log how much is missing here; False when even that cannot be written."""
        if not self._shed:
            return True
        line_end = "" if self._at_line_start else "\n"
        text = f"{line_end}[penstock] {self._shed} bytes of output were left out here: "
        text += "they came faster than logs could be stored\n"
        if self._append(text.encode()) != len(text):
            return False
        self._shed = 0
        return True

    def _append(self, data: bytes) -> int:
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
