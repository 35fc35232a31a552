"""By which address other machines reach this server: its operator's word, or a good guess."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from penstock.addresses import is_loopback

_WILDCARDS: Final = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}
"""Addresses that mean every interface, and one far away that is nobody's (RFC 5737, 3849)."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the server listens, and the address that its operator made known, if any."""

    host: str = "127.0.0.1"
    public_url: str | None = None

    def address(self, request: Request, told: str | None) -> str:
        """`told` is how the caller says that it reaches us: a proxy may hide that from us."""
        known = self.public_url or told
        return known.rstrip("/") if known else self._of(request)

    def _of(self, request: Request) -> str:
        """As the request came, unless that was over loopback and we listen elsewhere too."""
        host, port = request.url.hostname or "", request.url.port
        if is_loopback(host) and not is_loopback(self.host):
            host = _outward(self.host)
        named = f"[{host}]" if ":" in host else host
        return f"{request.url.scheme}://{named}{'' if port is None else f':{port}'}"


def _outward(host: str) -> str:
    """The listening address, and of a wildcard this machine's own that faces other networks."""
    target = _WILDCARDS.get(host)
    if target is None:
        return host
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))  # sends nothing: it only asks the kernel for its route
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
