"""The typed contracts that a kernel backend implements, and how a backend is found.

The model itself is written in plain torch operators; what stands here is what they lack.
Shapes in names: L layers, N pages, P tokens per page, K key/value heads, D head size, T tokens,
B sequences, M pages per sequence, S = M·P.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Final, Protocol

from torch import Tensor

from workloads.engine import kernels

REFERENCE: Final = "reference"


class Ops(Protocol):
    """The operations of one backend. Every one may be replaced alone: fall back for the rest."""

    def write_pages(self, pages_NPKD: Tensor, values_TKD: Tensor, slots_T: Tensor) -> None:
        """Puts token t at slot `slots_T[t]` = page·P + offset, in place. Slots are distinct."""

    def gather_pages(self, pages_NPKD: Tensor, table_BM: Tensor) -> Tensor:
        """The tokens of each row's pages, in order: (B,S,K,D)."""


def load_ops(backend: str) -> Ops:
    """The kernels in the backend's folder, or plain torch where there is none of that name."""
    folders = {found.name for found in pkgutil.iter_modules(kernels.__path__) if found.ispkg}
    name = backend if backend in folders else REFERENCE
    ops: Ops = importlib.import_module(f"{kernels.__name__}.{name}").ops()
    return ops
