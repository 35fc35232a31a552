"""The model and the batch that ranks and the single process of the gradient test share."""

from __future__ import annotations

import torch
from torch import Tensor

from penstock.api.specs import ModelShape
from workloads.models.config import config_of_shape
from workloads.models.llama import Llama, init_weights
from workloads.training.gradients import IGNORED

SHAPE = ModelShape(
    num_layers=2,
    hidden_size=32,
    num_heads=4,
    num_kv_heads=2,
    intermediate_size=48,
    vocab_size=260,
    max_seq_len=16,
)


def new_model() -> Llama:
    """In float64, the same on every rank."""
    model = Llama(config_of_shape(SHAPE))
    init_weights(model, seed=11)
    return model.double()


def batch_rows() -> Tensor:
    """Nine samples of very different numbers of tokens."""
    generator = torch.Generator().manual_seed(3)
    rows_BT = torch.randint(0, SHAPE.vocab_size, (9, SHAPE.max_seq_len + 1), generator=generator)
    for sample, length in enumerate((17, 3, 9, 17, 2, 5, 17, 11, 4)):
        rows_BT[sample, length:] = IGNORED
    return rows_BT
