"""AdamW on flat rows and the learning rate of a step. Gradients come summed and averaged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Hyper:
    """Constants of the optimizer; decay is for matrices only."""

    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip_norm: float = 1.0


def learning_rate(step: int, total_steps: int, peak: float) -> float:
    """Linear warm-up over a tenth of the run (50 steps at most), then a cosine to a tenth."""
    warmup = max(1, min(50, total_steps // 10))
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, total_steps - warmup)
    return peak * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


class AdamW:
    """Decoupled weight decay (arXiv 1711.05101) with the gradient's norm clipped first."""

    def __init__(self, values_N: Tensor, num_decayed: int, hyper: Hyper | None = None) -> None:
        self.hyper = hyper or Hyper()
        self.first_N = torch.zeros_like(values_N)
        self.second_N = torch.zeros_like(values_N)
        self._values_N = values_N
        self._scratch_N = torch.empty_like(values_N)
        self._num_decayed = num_decayed

    @torch.no_grad()
    def step(self, grads_N: Tensor, step: int, lr: float) -> float:
        """Applies the gradient of step `step` (from 0); returns its norm before clipping."""
        hyper = self.hyper
        norm = float(torch.linalg.vector_norm(grads_N))
        if norm > hyper.clip_norm:
            grads_N.mul_(hyper.clip_norm / norm)
        self.first_N.lerp_(grads_N, 1 - hyper.beta1)
        self.second_N.mul_(hyper.beta2).addcmul_(grads_N, grads_N, value=1 - hyper.beta2)
        first_scale = 1 - hyper.beta1 ** (step + 1)
        second_scale = 1 - hyper.beta2 ** (step + 1)
        torch.sqrt(self.second_N, out=self._scratch_N)
        self._scratch_N.div_(math.sqrt(second_scale)).add_(hyper.eps)
        self._values_N[: self._num_decayed].mul_(1 - lr * hyper.weight_decay)
        self._values_N.addcdiv_(self.first_N, self._scratch_N, value=-lr / first_scale)
        return norm
