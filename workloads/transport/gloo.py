"""How the ranks of a gang reach each other: collectives over gloo, and small agreed documents.

One common backend for every pair of chips: host memory over TCP. The sum of an all-reduce is
the same to the bit on every rank and in every run of the same world size.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

import torch
import torch.distributed
from torch import Tensor

from workloads.transport.throttle import LinkPace

dist: Any = torch.distributed  # its stubs leave out what is used here
CHUNK_BYTES: Final = 4 * 2**20


class PeerLost(Exception):
    """Another rank cannot be reached any more; the message says what failed."""


class Transport(Protocol):
    """A gang as one rank sees it."""

    rank: int
    world_size: int
    waited_s: float

    def all_reduce(self, tensor_N: Tensor) -> None:
        """Sums a flat contiguous tensor over all ranks, in place; raises PeerLost."""

    def broadcast(self, tensor_N: Tensor) -> None:
        """Gives every rank the values of rank 0, in place; raises PeerLost."""

    def agree(self, key: str, document: object) -> Any:
        """Gives every rank rank 0's JSON document; a key is used once. Raises PeerLost."""

    def gather(self, key: str, document: object) -> list[Any]:
        """Every rank's JSON document, by rank; a key is used once. Raises PeerLost."""

    def close(self) -> None:
        """Lets go of the connections."""


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """Who this rank is and where the gang meets."""

    rank: int
    world_size: int
    host: str
    master_addr: str
    master_port: int
    link_bytes_per_s: float | None = None
    timeout_s: float = 600.0


def connect(rendezvous: Rendezvous) -> Transport:
    """Meets the other ranks; raises PeerLost where they do not come within the timeout."""
    return SoloTransport() if rendezvous.world_size == 1 else GlooTransport(rendezvous)


class SoloTransport:
    """A gang of one."""

    rank = 0
    world_size = 1

    def __init__(self) -> None:
        self.waited_s = 0.0

    def all_reduce(self, tensor_N: Tensor) -> None:
        """The sum over one rank is what it has."""

    def broadcast(self, tensor_N: Tensor) -> None:
        """Rank 0 has it already."""

    def agree(self, key: str, document: object) -> Any:
        return json.loads(json.dumps(document))

    def gather(self, key: str, document: object) -> list[Any]:
        return [json.loads(json.dumps(document))]

    def close(self) -> None:
        """Nothing is open."""


class GlooTransport:
    """Ranks on any chips, on one node or several, through host memory.

    Uses a gloo process group and a key-value store of its own: nothing global, no pickle.
    """

    def __init__(self, rendezvous: Rendezvous) -> None:
        self.rank = rendezvous.rank
        self.world_size = rendezvous.world_size
        self.waited_s = 0.0
        self._pace = LinkPace(rendezvous.link_bytes_per_s)
        with self._waiting("rendezvous"):
            self._store = _open_store(rendezvous)
            self._group = _open_group(rendezvous, self._store)

    def all_reduce(self, tensor_N: Tensor) -> None:
        ring_share = 2 * (self.world_size - 1) / self.world_size
        for chunk_N in _chunks(tensor_N):
            with self._waiting("all-reduce", chunk_N.nbytes * ring_share):
                self._group.allreduce([chunk_N]).wait()

    def broadcast(self, tensor_N: Tensor) -> None:
        for chunk_N in _chunks(tensor_N):
            with self._waiting("broadcast", chunk_N.nbytes):
                self._group.broadcast(chunk_N, 0).wait()

    def agree(self, key: str, document: object) -> Any:
        with self._waiting(f"agreement on {key}"):
            if self.rank == 0:
                self._store.set(key, json.dumps(document))
            return json.loads(self._store.get(key))

    def gather(self, key: str, document: object) -> list[Any]:
        with self._waiting(f"gathering of {key}"):
            self._store.set(f"{key}/{self.rank}", json.dumps(document))
            keys = [f"{key}/{rank}" for rank in range(self.world_size)]
            return [json.loads(self._store.get(one)) for one in keys]

    def close(self) -> None:
        del self._group
        del self._store

    @contextmanager
    def _waiting(self, what: str, num_bytes: float = 0.0) -> Iterator[None]:
        started_s = time.monotonic()
        try:
            yield
        except (RuntimeError, dist.DistError) as error:
            raise PeerLost(f"{what} failed: {_first_line(error)}") from error
        until_s = self._pace.until_s(started_s, num_bytes)
        time.sleep(max(0.0, until_s - time.monotonic()))
        self.waited_s += time.monotonic() - started_s


def _open_store(rendezvous: Rendezvous) -> Any:
    """Rank 0 listens on its own address only: torch alone would listen on every interface."""
    listener = _listener(rendezvous) if rendezvous.rank == 0 else None
    return dist.TCPStore(
        rendezvous.master_addr,
        rendezvous.master_port,
        rendezvous.world_size,
        rendezvous.rank == 0,
        timedelta(seconds=rendezvous.timeout_s),
        wait_for_workers=False,
        master_listen_fd=None if listener is None else listener.detach(),
    )


def _listener(rendezvous: Rendezvous) -> socket.socket:
    address = (rendezvous.master_addr, rendezvous.master_port)
    family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(rendezvous.world_size + 16)
    return listener


def _open_group(rendezvous: Rendezvous, store: Any) -> Any:
    # torch has no other names for them, and without them gloo listens on any interface.
    device = dist.ProcessGroupGloo.create_device(hostname=rendezvous.host)
    options = dist.ProcessGroupGloo._Options()  # noqa: SLF001
    options._devices = [device]  # noqa: SLF001
    options._timeout = timedelta(seconds=rendezvous.timeout_s)  # noqa: SLF001
    prefixed = dist.PrefixStore("gloo", store)
    group = dist.ProcessGroupGloo(prefixed, rendezvous.rank, rendezvous.world_size, options)
    group.allreduce([torch.zeros(1)]).wait()
    return group


def _chunks(tensor_N: Tensor) -> Iterator[Tensor]:
    """The same chunks on every rank, whatever its link: they fix the order of summation."""
    size = CHUNK_BYTES // tensor_N.element_size()
    return (tensor_N[start : start + size] for start in range(0, len(tensor_N), size))


def _first_line(error: Exception) -> str:
    """What gloo says, without the source path before it and the advice after it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^\[\S+:\d+\] ", "", lines[0]).partition(". This is typically")[0]
