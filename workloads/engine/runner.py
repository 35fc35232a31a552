"""Runs the model on its device over a paged cache: chunks in, logits out.

Owns the cache's tensors; which page is whose it is told with each chunk.
Shapes in names as in `kernels/base.py` and `models/llama.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workloads.engine.batcher import Chunk
from workloads.engine.kernels.base import Ops
from workloads.models.llama import Llama


class Runner:
    """A model, its page tensors and the operations of its chip's backend."""

    def __init__(self, model: Llama, ops: Ops, num_pages: int, page_size: int) -> None:
        config, weight = model.config, model.unembedding()
        self._model = model
        self._ops = ops
        self._page_size = page_size
        self._device = weight.device
        shape = (num_pages, page_size, config.num_key_value_heads, config.head_dim)
        # Zeroed, not empty: masked positions are multiplied by zero, which spares no NaN.
        self._pages = [
            (weight.new_zeros(shape), weight.new_zeros(shape))
            for _ in range(config.num_hidden_layers)
        ]

    @torch.inference_mode()
    def forward(self, chunks: Sequence[Chunk]) -> Tensor:
        """Logits (B,V), fp32 on the host, one row per chunk that samples, in their order."""
        decoding = [chunk for chunk in chunks if len(chunk.tokens) == 1]
        groups = [[chunk] for chunk in chunks if len(chunk.tokens) > 1]
        hidden_C: dict[str, Tensor] = {}
        for group in [decoding, *groups] if decoding else groups:
            hidden_BC = self._last_hidden(group)
            hidden_C.update(zip((c.sequence.id for c in group), hidden_BC, strict=True))
        rows = [hidden_C[chunk.sequence.id] for chunk in chunks if chunk.samples]
        if not rows:
            return torch.empty(0, self._model.config.vocab_size)
        return self._model.logits(torch.stack(rows)).float().cpu()

    def _last_hidden(self, group: Sequence[Chunk]) -> Tensor:
        """Runs chunks of equal length together; the hidden state (B,C) of each one's last token."""
        num_new = len(group[0].tokens)
        starts = [chunk.start for chunk in group]
        first_B1 = torch.tensor(starts, device=self._device)[:, None]
        positions_BT = first_B1 + torch.arange(num_new, device=self._device)
        tokens_BT = torch.tensor([chunk.tokens for chunk in group], device=self._device)
        num_pages = -(-(max(starts) + num_new) // self._page_size)
        padded = [[*c.pages[:num_pages], *[0] * (num_pages - len(c.pages))] for c in group]
        table_BM = torch.tensor(padded, device=self._device)
        pages_BT = table_BM.gather(1, positions_BT // self._page_size)
        slots_BT = pages_BT * self._page_size + positions_BT % self._page_size
        cache = _StepCache(self._ops, self._pages, table_BM, slots_BT.flatten())
        return self._model.hidden(tokens_BT, positions_BT, cache)[:, -1]


@dataclass(frozen=True, slots=True)
class _StepCache:
    """What the model sees of the pages during one call: `KVCache` of `models/llama.py`."""

    ops: Ops
    pages: list[tuple[Tensor, Tensor]]
    table_BM: Tensor
    slots_T: Tensor

    def update(self, layer: int, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        keys_NPKD, values_NPKD = self.pages[layer]
        return self._store(keys_NPKD, k_BKTD), self._store(values_NPKD, v_BKTD)

    def _store(self, pages_NPKD: Tensor, new_BKTD: Tensor) -> Tensor:
        self.ops.write_pages(pages_NPKD, new_BKTD.transpose(1, 2).flatten(0, 1), self.slots_T)
        return self.ops.gather_pages(pages_NPKD, self.table_BM).transpose(1, 2)
