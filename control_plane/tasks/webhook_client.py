"""Posts webhooks without being turned against the inside: only to public addresses, at the
address that was checked, following no redirect, reading nothing but the status, in bounded time.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final
from urllib.parse import SplitResult, urlsplit

from control_plane.deadlines import Deadline
from control_plane.services.webhooks.addresses import is_public
from control_plane.threads import in_thread

TIMEOUT_S: Final = 10.0
"""For the name, the connection and the answer together."""
resolve: Final = socket.getaddrinfo
_PORTS: Final = {"http": 80, "https": 443}


class WebhookClient:
    """`allow_private` is for tests and for receivers on a private network, said in settings."""

    def __init__(self, allow_private: bool = False, tls: ssl.SSLContext | None = None) -> None:
        self._allow_private = allow_private
        self._tls = tls or ssl.create_default_context()

    def __call__(
        self, url: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> str | None:
        """None when the receiver answered 2xx, else why not."""
        try:
            status = self._post(url, json.dumps(body).encode(), headers)
        except (http.client.HTTPException, OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        return None if 200 <= status < 300 else f"the receiver answered {status}"

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS:
            raise ValueError(f"{parts.scheme!r} is no scheme of webhooks")
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        deadline = Deadline.after(TIMEOUT_S)
        address = self._checked_address(host, port, deadline)
        with _connected(address, port, deadline) as connection:
            stream = connection
            if parts.scheme == "https":
                stream = self._tls.wrap_socket(connection, server_hostname=host)
            with contextlib.closing(http.client.HTTPConnection(host, port)) as exchange:
                exchange.sock = stream
                exchange.request("POST", _target(parts), body, _headers(parts, headers))
                return exchange.getresponse().status

    def _checked_address(self, host: str, port: int, deadline: Deadline) -> str:
        """One of the host's addresses, all of which must be public."""
        lookup = in_thread("resolve", partial(resolve, host, port, type=socket.SOCK_STREAM))
        try:
            found = lookup.result(deadline.left_s)
        except TimeoutError as error:
            raise TimeoutError(f"the name {host} was not resolved in time") from error
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            if not self._allow_private and not is_public(address):
                raise ValueError(f"{host} has the address {address}, which is not public")
        return addresses[0]


@contextlib.contextmanager
def _connected(address: str, port: int, deadline: Deadline) -> Iterator[socket.socket]:
    """A connection that is cut at the deadline, however slowly the other side trickles."""
    if deadline.is_over:
        raise TimeoutError("no time is left to connect")
    with (
        socket.create_connection((address, port), deadline.left_s) as connection,
        connection.dup() as lever,
    ):
        watchdog = threading.Timer(deadline.left_s, _cut, [lever])
        watchdog.daemon = True
        watchdog.start()
        try:
            yield connection
        finally:
            watchdog.cancel()


def _cut(lever: socket.socket) -> None:
    """A socket of its own for the same connection: cutting it ends reads on all of them."""
    with contextlib.suppress(OSError):
        lever.shutdown(socket.SHUT_RDWR)


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _headers(parts: SplitResult, headers: Mapping[str, str]) -> dict[str, str]:
    return {
        "Host": parts.netloc.rpartition("@")[2],
        "Content-Type": "application/json",
        "User-Agent": "penstock",
        "Connection": "close",
        **headers,
    }
