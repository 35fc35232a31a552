"""Which addresses webhooks may go to: those of the public internet."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(
    ipaddress.IPv6Network(it)
    for it in ("2001::/23", "2001:db8::/32", "2002::/16", "3ffe::/16", "3fff::/20")
)
"""Of the global addresses those that are for protocols (Teredo among them), examples, tunnels."""
_SPECIAL_V4: Final = tuple(
    ipaddress.IPv4Network(it) for it in ("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4")
)


def is_public(address: str) -> bool:
    """Whether an address is on the public internet. Of those that carry an IPv4 address only the
    forms of the system's own (mapped) and of a NAT64 resolver count, as what they carry.
    """
    host, _, zone = address.partition("%")
    parsed = ipaddress.ip_address(host)
    if isinstance(parsed, ipaddress.IPv6Address):
        if zone:
            return False
        if parsed in _MAPPED or parsed in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
        return parsed in _GLOBAL_V6 and not any(parsed in it for it in _SPECIAL_V6)
    special = any(parsed in it for it in _SPECIAL_V4)
    return parsed.is_global and not parsed.is_multicast and not special


def may_be_public(host: str) -> bool:
    """Whether a host of an address may turn out to be public: a name is looked up when something
    is sent to it. Forms of an address count as that address, `127.1` too.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return is_public(host)
    except ValueError:
        pass  # it is a name, or an IPv4 address in another form
    try:
        return is_public(socket.inet_ntoa(socket.inet_aton(host)))
    except OSError:
        return True
