"""Reserves a TCP port for every replica, on which rank 0 meets its gang or a server listens."""

from __future__ import annotations

import socket
from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Final

_TRIES: Final = 200


class NoPort(Exception):
    """No port of the range is free."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The range lies below the kernel's ephemeral ports, so that no outgoing connection takes one.

    A reserved port is only kept from other replicas of this agent until its replica listens.
    """

    first: int
    last: int
    random: Random

    def reserve(self, host: str, taken: Collection[int]) -> int:
        """A port that nothing listens on now and that is not in `taken`. Raises NoPort."""
        for _ in range(_TRIES):
            port = self.random.randint(self.first, self.last)
            if port not in taken and _is_free(host, port):
                return port
        raise NoPort(f"no free port between {self.first} and {self.last} on {host}")


def port_of(address: str) -> int | None:
    """The port of host:port."""
    port = address.rpartition(":")[2]
    return int(port) if port.isdigit() else None


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
