"""The synchronous clients: `Client("http://127.0.0.1:8470", token).jobs.get("hello")`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

import httpx

from penstock.client.calls import ModeT, Plain, Typed
from penstock.client.connection import Connection
from penstock.client.http import Http
from penstock.client.nouns import Api


class _Sync(Api[ModeT]):
    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Client(_Sync[Typed]):
    """Answers with wire types. Safe to share between threads."""

    def __init__(
        self,
        server: str,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        connection = Connection(server, token, timeout_s=timeout_s)
        super().__init__(Http(connection, transport=transport, sleep=sleep))


class DocumentClient(_Sync[Plain]):
    """Answers with JSON documents as they came, and imports no type to do so."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(Http(connection), typed=False)
