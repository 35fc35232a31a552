"""The reference backend: every contract in plain torch, on any device. Correct, not fast."""

from __future__ import annotations

from torch import Tensor

from workloads.engine.kernels.base import Ops


def ops() -> Ops:
    """What `load_ops` asks a backend for."""
    return ReferenceOps()


class ReferenceOps:
    """See `Ops` for the contracts."""

    def write_pages(self, pages_NPKD: Tensor, values_TKD: Tensor, slots_T: Tensor) -> None:
        pages_NPKD.flatten(0, 1).index_copy_(0, slots_T, values_TKD)

    def gather_pages(self, pages_NPKD: Tensor, table_BM: Tensor) -> Tensor:
        return pages_NPKD[table_BM].flatten(1, 2)
