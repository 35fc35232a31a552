"""The loss curve of an attempt as lines of JSON on storage, comparable bit by bit.

One line a step: step, loss in decimal and as `float.hex`, tokens so far, indices of the step's
first 256 samples, a check number of the tokens that the ranks really worked on, shares, seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from workloads.failures import os_error_message
from workloads.storage import StorageFault, join_uri, local_path, storage_faults, write_file

WRITE_EVERY_BYTES: Final = 8192


def curve_uri(storage: str, epoch: int) -> str:
    """Where the curve of an attempt lies below the job's folder."""
    return join_uri(storage, f"losses-e{epoch}.jsonl")


class LossCurve:
    """Appends on a local file system; elsewhere the whole file is put again at every flush.

    A storage that takes nothing ends no training: `report` hears of it once, and the lines are kept
    until a later flush writes them.
    """

    def __init__(self, storage: str, epoch: int, report: Callable[[str], None]) -> None:
        self._uri = curve_uri(storage, epoch)
        self._path = local_path(self._uri)
        self._file: IO[bytes] | None = None
        self._report = report
        self._lines = bytearray()
        self._refused = False

    def add(self, line: dict[str, object], loss: float) -> None:
        """Adds a step's line."""
        text = json.dumps({**line, "loss": loss, "loss_hex": loss.hex()}) + "\n"
        self._lines += text.encode()
        full = len(self._lines) >= WRITE_EVERY_BYTES
        if self._path is not None and full and not self._refused:
            self.flush()

    def flush(self) -> None:
        """Makes the lines so far readable by others, where the storage takes them."""
        try:
            self._write()
        except StorageFault as error:
            if not self._refused:
                self._report(f"the loss curve waits for the storage: {os_error_message(error)}")
            self._refused = True
        else:
            self._refused = False

    def _write(self) -> None:
        if self._path is not None:
            with storage_faults():
                self._append(self._path)
        elif self._lines:
            write_file(self._uri, bytes(self._lines))

    def _append(self, path: Path) -> None:
        """Without a buffer: what was not taken is still ours, and is not written twice."""
        if self._file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        while self._lines:
            del self._lines[: self._file.write(self._lines)]
