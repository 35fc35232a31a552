"""Reads token counts out of answers that pass through, streamed or not."""

from __future__ import annotations

import json
from typing import Any


class UsageReader:
    """Fed with the bytes of one answer; keeps only what it needs for the counts."""

    def __init__(self, streamed: bool) -> None:
        self._streamed = streamed
        self._pending = b""
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.num_chunks = 0

    def feed(self, data: bytes) -> None:
        self._pending += data
        if not self._streamed:
            return
        *lines, self._pending = self._pending.split(b"\n")
        for line in lines:
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                self.num_chunks += 1
                self._take(line[6:])

    def close(self) -> None:
        """At the end of the answer. A stream that was cut before its usage came counts its
        chunks: one token each, as our engine sends them.
        """
        if not self._streamed:
            self._take(self._pending)
        elif not self.completion_tokens:
            self.completion_tokens = self.num_chunks

    def _take(self, document: bytes) -> None:
        try:
            usage: Any = json.loads(document).get("usage")
        except (ValueError, AttributeError):
            return
        if isinstance(usage, dict):
            self.prompt_tokens = int(usage.get("prompt_tokens") or 0)
            self.completion_tokens = int(usage.get("completion_tokens") or 0)
