"""The Python client of Penstock's API, sync and async.

The typed clients are imported on first use, so that the command line, which shows documents as
they come, pays for neither pydantic nor the second client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.client.errors import (
    ApiError,
    BadReference,
    ClientError,
    ConnectionFailed,
    Unsendable,
    WaitTimeout,
)

if TYPE_CHECKING:
    from penstock.client.asynchronous import AsyncClient
    from penstock.client.synchronous import Client

__all__ = [
    "ApiError", "AsyncClient", "BadReference", "Client", "ClientError", "ConnectionFailed",
    "Unsendable", "WaitTimeout",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name == "Client":
        from penstock.client.synchronous import Client

        return Client
    if name == "AsyncClient":
        from penstock.client.asynchronous import AsyncClient

        return AsyncClient
    raise AttributeError(name)
