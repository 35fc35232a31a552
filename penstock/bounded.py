"""Reads what comes in parts without ever holding more of it than is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable


class TooLong(Exception):
    """There is more of it than is read."""


async def read_bounded(
    parts: AsyncIterable[bytes], most_bytes: int, within_s: float | None = None
) -> bytes:
    """All parts. Raises TooLong as soon as they are too many, and TimeoutError."""
    body = bytearray()
    async with asyncio.timeout(within_s):
        async for part in parts:
            body += part
            if len(body) > most_bytes:
                raise TooLong(f"longer than {most_bytes} bytes")
    return bytes(body)
