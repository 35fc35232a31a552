"""What an address tells: its host, and whether others than this machine can mean it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host. Names other than localhost: no."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def asked_from_here(headers: Mapping[str, str]) -> bool:
    """Whether a request means this machine by its own name and comes from no web page elsewhere.

    Without tokens a page must not reach us through a browser on this machine: neither under a
    name that it made point here, nor from an origin that is not this machine.
    """
    named = [f"//{headers.get('host', '')}", headers.get("origin", "")]
    return headers.get("sec-fetch-site") != "cross-site" and all(map(_is_here, named))


def host_of(url: str) -> str:
    """The host in an address, without brackets; empty where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_here(url: str) -> bool:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return False
    return host is None or is_loopback(host)
