"""The loss curve of an attempt as lines of JSON on storage, comparable bit by bit.

One line a step: step, loss in decimal and as `float.hex`, tokens so far, indices of the step's
first 256 samples, a check number of the tokens that the ranks really worked on, shares, seconds.
"""

from __future__ import annotations

import json
from typing import IO, Any

from workloads.storage import join_uri, local_path, write_file


def curve_uri(storage: str, epoch: int) -> str:
    """Where the curve of an attempt lies below the job's folder."""
    return join_uri(storage, f"losses-e{epoch}.jsonl")


class LossCurve:
    """Appends on a local file system; elsewhere the whole file is put again at every flush."""

    def __init__(self, storage: str, epoch: int) -> None:
        self._uri = curve_uri(storage, epoch)
        self._lines: list[str] = []
        self._file = _open_local(self._uri)

    def add(self, line: dict[str, Any], loss: float) -> None:
        """Adds a step's line."""
        text = json.dumps({**line, "loss": loss, "loss_hex": loss.hex()}) + "\n"
        if self._file is not None:
            self._file.write(text)
        else:
            self._lines.append(text)

    def flush(self) -> None:
        """Makes the lines so far readable by others."""
        if self._file is not None:
            self._file.flush()
        elif self._lines:
            write_file(self._uri, "".join(self._lines).encode())


def _open_local(uri: str) -> IO[str] | None:
    path = local_path(uri)
    if path is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a", encoding="utf-8")
