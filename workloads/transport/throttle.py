"""Holds transfers to a declared link speed. What is transferred is others' work."""

from __future__ import annotations


class LinkPace:
    """A token bucket without burst: bytes leave one after another at the link's speed."""

    def __init__(self, bytes_per_s: float | None) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at_s = 0.0

    def until_s(self, started_s: float, num_bytes: float) -> float:
        """When a transfer begun at `started_s` (monotonic) is through; no limit: at once."""
        if self._bytes_per_s is None:
            return started_s
        self._free_at_s = max(self._free_at_s, started_s) + num_bytes / self._bytes_per_s
        return self._free_at_s
