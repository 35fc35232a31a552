"""The asynchronous client: `await AsyncClient(server, token).jobs.get("hello")`."""

from __future__ import annotations

from typing import Self

import httpx

from penstock.client.async_http import AsyncHttp
from penstock.client.calls import Awaited
from penstock.client.connection import Connection
from penstock.client.nouns import Api


class AsyncClient(Api[Awaited]):
    """What `Client` is, for one event loop."""

    def __init__(
        self,
        server: str,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        connection = Connection(server, token, timeout_s=timeout_s)
        super().__init__(AsyncHttp(connection, transport=transport))

    async def close(self) -> None:
        await self.http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
