"""What an address tells: its host, and whether others than this machine can mean it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

_WILDCARDS: Final = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}
"""Addresses that mean every interface, and one far away that is nobody's (RFC 5737, 3849)."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host. Names other than localhost: no."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(host: str) -> bool:
    """Whether listening there means listening on every address of this machine."""
    return host in _WILDCARDS


def asked_from_here(headers: Mapping[str, str]) -> bool:
    """Whether a request means this machine by its own name and comes from no web page elsewhere.

    Without tokens a page must not reach us through a browser on this machine: neither under a
    name that it made point here, nor from an origin that is not this machine. `null` is the
    origin of sandboxed frames, of files and of data, which may be anybody's.
    """
    if headers.get("sec-fetch-site") == "cross-site":
        return False
    origin = headers.get("origin")
    return _is_here(f"//{headers.get('host', '')}") and (origin is None or _is_web_here(origin))


def host_of(url: str) -> str:
    """The host in an address, without brackets; empty where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def bracketed(host: str) -> str:
    """As it stands before a port: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def outward(host: str) -> str:
    """Where others reach what listens on `host`: of a wildcard, this machine's own address that
    faces other networks; loopback where there is none.
    """
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


def _is_web_here(origin: str) -> bool:
    return origin.lower().startswith(("http://", "https://")) and _is_here(origin)


def _is_here(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return "@" not in parts.netloc and is_loopback(parts.hostname or "")
