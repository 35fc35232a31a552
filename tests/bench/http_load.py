"""Requests over kept connections by a client that costs little: bytes made before, answers not
parsed. One event loop; as many requests are under way as there are connections.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import quantiles

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one load. `took_s` of each answer, in order of its end."""

    seconds: float
    took_s: tuple[float, ...]

    @property
    def per_s(self) -> float:
        return len(self.took_s) / self.seconds

    def percentile_ms(self, percent: int) -> float:
        return quantiles(self.took_s, n=100, method="inclusive")[percent - 1] * 1000


def request(
    method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    """The bytes of one request to loopback."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def load(
    port: int, make: Callable[[], bytes], status: int, *, clients: int, seconds: float
) -> Load:
    """Sends what `make` makes over `clients` connections for `seconds`.

    Raises RuntimeError at an answer that has another status.
    """
    return asyncio.run(_load(port, make, status, clients, seconds))


async def _load(
    port: int, make: Callable[[], bytes], status: int, clients: int, seconds: float
) -> Load:
    took: list[float] = []
    began = time.perf_counter()
    end = began + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_client(port, make, status, end, took))
    return Load(time.perf_counter() - began, tuple(took))


async def _client(
    port: int, make: Callable[[], bytes], status: int, end: float, took: list[float]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (began := time.perf_counter()) < end:
            writer.write(make())
            head = await reader.readuntil(b"\r\n\r\n")
            found = _LENGTH.search(head)
            body = await reader.readexactly(int(found[1])) if found else b""
            if int(head[9:12]) != status:
                raise RuntimeError(f"{status} was expected: {(head + body)[:600]!r}")
            took.append(time.perf_counter() - began)
    finally:
        writer.close()
        await writer.wait_closed()
