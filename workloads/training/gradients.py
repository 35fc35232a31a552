"""Forward and backward passes over one rank's samples: sums of per-token losses and gradients.

Sums, not means: divided by the token count of the whole gang after the all-reduce they are the
gradient of the batch's mean loss, however unevenly the batch was split. Shapes in names:
B samples, T tokens of a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from workloads.models.llama import Llama

IGNORED: Final = -100


def accumulate(model: Llama, rows_BT: Tensor, passes: Sequence[int]) -> tuple[float, int]:
    """Adds the rows' gradients to the model's, a few rows a pass; returns loss sum and tokens.

    `rows_BT` holds T+1 tokens a row, inputs and targets being each other's neighbours. Targets
    equal to IGNORED count neither as loss nor as tokens.
    """
    loss_sum, num_tokens, start = 0.0, 0, 0
    for size in passes:
        inputs_BT, targets_BT = split_rows(rows_BT[start : start + size])
        loss = token_loss_sum(model, inputs_BT, targets_BT)
        loss.backward()  # type: ignore[no-untyped-call]
        loss_sum += loss.item()
        num_tokens += int((targets_BT != IGNORED).sum())
        start += size
    return loss_sum, num_tokens


def split_rows(rows_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs and their targets, one token later. An ignored input reads as token 0."""
    return rows_BT[:, :-1].clamp_min(0), rows_BT[:, 1:]


def token_loss_sum(model: Llama, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """The sum of the tokens' cross-entropies, in nats."""
    logits_BTV = model(inputs_BT)
    return F.cross_entropy(
        logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=IGNORED, reduction="sum"
    )


@torch.no_grad()
def mean_loss(model: Llama, rows_BT: Tensor, micro_batch: int) -> float:
    """Mean loss per token over the rows, nothing learnt."""
    total = 0.0
    for start in range(0, len(rows_BT), micro_batch):
        total += token_loss_sum(model, *split_rows(rows_BT[start : start + micro_batch])).item()
    return total / (rows_BT.shape[0] * (rows_BT.shape[1] - 1))
