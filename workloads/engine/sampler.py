"""From logits to tokens. Holds no state and no generator: the random draws are arguments.

Shapes in names: B sequences, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workloads.engine.sequence import Choice, SamplingParams

GREEDY_BELOW = 1e-5
"""Dividing by a smaller temperature would overflow; such a distribution has one outcome."""


def sample(
    logits_BV: Tensor, params: Sequence[SamplingParams], draws: Sequence[float]
) -> list[Choice]:
    """One token per row. `draws` are uniform in [0, 1), used where the row is not greedy."""
    tokens = logits_BV.argmax(dim=-1).tolist()
    for row, (wanted, draw) in enumerate(zip(params, draws, strict=True)):
        if wanted.temperature >= GREEDY_BELOW:
            tokens[row] = _draw(logits_BV[row], wanted, draw)
    return [
        Choice(token) if wanted.num_logprobs is None else _scored(row_V, token, wanted.num_logprobs)
        for row_V, token, wanted in zip(logits_BV, tokens, params, strict=True)
    ]


def _draw(logits_V: Tensor, params: SamplingParams, draw: float) -> int:
    """Inverse-transform sampling after top-k, then top-p (nucleus, arXiv 1904.09751)."""
    sorted_V, order_V = (logits_V.double() / params.temperature).sort(descending=True)
    if params.top_k:
        sorted_V = sorted_V[: params.top_k]
    weights_V = sorted_V.softmax(dim=-1)
    reached_V = weights_V.cumsum(dim=-1)
    if params.top_p < 1.0:
        num_kept = int((reached_V - weights_V < params.top_p).sum())
        reached_V = reached_V[: max(num_kept, 1)]
    index = int(torch.searchsorted(reached_V, draw * reached_V[-1], right=True))
    return int(order_V[min(index, len(reached_V) - 1)])


def _scored(logits_V: Tensor, token: int, num_top: int) -> Choice:
    """Log probabilities are those of the model itself, before temperature and cuts."""
    logprobs_V = logits_V.float().log_softmax(dim=-1)
    top = torch.topk(logprobs_V, min(num_top, len(logprobs_V)))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return Choice(token, float(logprobs_V[token]), tuple(pairs))
