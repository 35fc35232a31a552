"""Reads token counts out of answers that pass through, streamed or not."""

from __future__ import annotations

import json
import re
from typing import Final

from penstock.json_types import Json

_EVENT_END: Final = re.compile(rb"\r?\n\r?\n")


class UsageReader:
    """Fed with the bytes of one answer; what it returns goes to the client.

    `hides_usage`: the usage of a stream was asked for by us, not by the client, and the event
    that only carries it is taken out.
    """

    def __init__(self, streamed: bool, hides_usage: bool = False) -> None:
        self._streamed = streamed
        self._hides_usage = hides_usage
        self._pending = b""
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.num_chunks = 0

    def feed(self, data: bytes) -> bytes:
        self._pending += data
        if not self._streamed:
            return data
        kept = b"".join(self._events())
        return kept if self._hides_usage else data

    def close(self) -> bytes:
        """At the end of the answer: what is left for the client. A stream that was cut before its
        usage came counts its chunks: one token each, as our engine sends them.
        """
        if not self._streamed:
            self._take(self._pending)
        elif not self.completion_tokens:
            self.completion_tokens = self.num_chunks
        return self._pending if self._streamed and self._hides_usage else b""

    def _events(self) -> list[bytes]:
        """The whole events that have come, without those that are to be hidden."""
        kept, start = [], 0
        for end in _EVENT_END.finditer(self._pending):
            event = self._pending[start : end.end()]
            start = end.end()
            if not (self._read(event) and self._hides_usage):
                kept.append(event)
        self._pending = self._pending[start:]
        return kept

    def _read(self, event: bytes) -> bool:
        """Whether the event carries the usage and nothing else."""
        data = event.strip().removeprefix(b"data:").strip()
        if not event.startswith(b"data:") or data == b"[DONE]":
            return False
        document = self._take(data) if b'"usage"' in data else None
        only_usage = document is not None and document.get("choices") == []
        self.num_chunks += not only_usage
        return only_usage

    def _take(self, data: bytes) -> Json | None:
        """The document, if it has a usage."""
        try:
            document: object = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict) or not isinstance(usage := document.get("usage"), dict):
            return None
        self.prompt_tokens = _count(usage.get("prompt_tokens"))
        self.completion_tokens = _count(usage.get("completion_tokens"))
        return document


def _count(value: object) -> int:
    """Other engines' counts are other people's input."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if is_count and isinstance(value, int) else 0
