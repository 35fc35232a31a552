"""How well a model predicts files it has never seen, beside what token counts alone predict."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from workloads.models.llama import Llama
from workloads.training.data.dataset import Dataset, Tokens, num_samples, windows
from workloads.training.gradients import mean_loss

HELD_OUT_SAMPLES: Final = 96


def held_out_losses(
    model: Llama, dataset: Dataset, seq_len: int, vocab_size: int, micro_batch: int
) -> tuple[float, float]:
    """Mean loss in nats per token of the model and of a unigram model, on the same tokens.

    The tokens are up to HELD_OUT_SAMPLES windows spread evenly over the held-out files.
    """
    rows_BT = held_out_rows(dataset.held_out_N, seq_len)
    model_loss = mean_loss(model, torch.from_numpy(rows_BT).long(), micro_batch)
    return model_loss, unigram_loss(dataset.train_N, rows_BT[:, 1:], vocab_size)


def held_out_rows(held_out_N: Tokens, seq_len: int) -> Tokens:
    """The fixed windows that are evaluated: the same for every run on the same data."""
    available = num_samples(held_out_N, seq_len)
    count = min(available, HELD_OUT_SAMPLES)
    return windows(held_out_N, [index * available // count for index in range(count)], seq_len)


def unigram_loss(train_N: Tokens, targets_BT: Tokens, vocab_size: int) -> float:
    """Mean negative log-probability under training frequencies with one added to each count."""
    counts_V = np.bincount(train_N, minlength=vocab_size).astype(np.float64) + 1.0
    log_probability_V = np.log(counts_V / counts_V.sum())
    return float(-log_probability_V[targets_BT].mean())
