"""Posts webhooks without being turned against the inside: only to public addresses, at the
address that was checked, following no redirect.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

TIMEOUT_S = 10.0


class WebhookClient:
    """`allow_private` is for tests and for receivers on a private network, said in settings."""

    def __init__(self, allow_private: bool = False) -> None:
        self._allow_private = allow_private
        self._client = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)

    def __call__(self, url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
        """None when the receiver answered 2xx, else why not."""
        try:
            return self._post(url, body, headers)
        except (httpx.HTTPError, OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"

    def close(self) -> None:
        self._client.close()

    def _post(self, url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = self._checked_address(host, port)
        literal = f"[{address}]" if ":" in address else address
        pinned = parts._replace(netloc=f"{literal}:{port}").geturl()
        reply = self._client.post(
            pinned, json=dict(body), headers={**headers, "Host": parts.netloc.rpartition("@")[2]},
            extensions={"sni_hostname": host},
        )  # fmt: skip
        return None if reply.is_success else f"the receiver answered {reply.status_code}"

    def _checked_address(self, host: str, port: int) -> str:
        """One of the host's addresses, all of which must be public."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            if not self._allow_private and not is_public(address):
                raise ValueError(f"{host} has the address {address}, which is not public")
        return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address is on the public internet; mapped and tunnelled ones count as what
    they carry.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        carried = parsed.ipv4_mapped or parsed.sixtofour
        if carried is not None:
            return is_public(str(carried))
        if parsed in ipaddress.ip_network("64:ff9b::/96"):
            return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
    return parsed.is_global and not parsed.is_multicast
