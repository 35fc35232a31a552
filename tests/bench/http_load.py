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
    async with Connection(port) as http:
        while (began := time.perf_counter()) < end:
            await http.ask(make(), status)
            took.append(time.perf_counter() - began)


class Connection:
    """One to loopback, opened at the first request, and anew after one that failed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, made: bytes, status: int) -> bytes:
        """The body of the answer. Raises RuntimeError where it has another status, OSError and
        IncompleteReadError where there is none.
        """
        if self._open is None:
            self._open = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._open
        try:
            writer.write(made)
            head = await reader.readuntil(b"\r\n\r\n")
            found = _LENGTH.search(head)
            body = await reader.readexactly(int(found[1])) if found else b""
        except BaseException:
            self._open = None
            writer.close()
            raise
        if int(head[9:12]) != status:
            raise RuntimeError(f"{status} was expected: {(head + body)[:600]!r}")
        return body

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._open is not None:
            self._open[1].close()
            await self._open[1].wait_closed()
