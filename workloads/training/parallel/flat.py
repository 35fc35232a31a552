"""All parameters and gradients of a model as two flat rows, so that a step is few operations.

Shapes in names: N parameters. What is done with the rows is the optimizer's and the trainer's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Span:
    """Where one parameter lies in the flat rows."""

    name: str
    start: int
    stop: int
    shape: tuple[int, ...]


class FlatParameters:
    """Makes a model's parameters and gradients views of `values_N` and `grads_N`.

    Matrices come first, in the order of their names, then vectors (which are not decayed).
    Behind the gradients lies a tail of `num_tail` numbers, so that one all-reduce of `sums`
    carries both.
    """

    def __init__(self, model: nn.Module, num_tail: int) -> None:
        named = dict(model.named_parameters())
        names = sorted(named, key=lambda name: (named[name].dim() < 2, name))
        self.spans = tuple(_spans(named, names))
        self.num_decayed = sum(named[name].numel() for name in names if named[name].dim() >= 2)
        size = self.spans[-1].stop
        like = named[names[0]]
        self.values_N = torch.empty(size, dtype=like.dtype)
        self.sums = torch.zeros(size + num_tail, dtype=like.dtype)
        self.grads_N = self.sums[:size]
        self.tail = self.sums[size:]
        for span in self.spans:
            parameter = named[span.name]
            view = part(self.values_N, span)
            view.copy_(parameter.detach())
            parameter.data = view
            parameter.grad = part(self.grads_N, span)

    def by_name(self, flat_N: Tensor) -> dict[str, Tensor]:
        """Views of a flat row of this layout, one per parameter."""
        return {span.name: part(flat_N, span) for span in self.spans}

    def copy_from(self, flat_N: Tensor, tensors: dict[str, Tensor]) -> None:
        """Fills a flat row from tensors by name; raises KeyError or ValueError if they differ."""
        for span in self.spans:
            tensor = tensors[span.name]
            if tuple(tensor.shape) != span.shape:
                raise ValueError(f"{span.name} has shape {tuple(tensor.shape)}, not {span.shape}")
            part(flat_N, span).copy_(tensor)


def part(flat_N: Tensor, span: Span) -> Tensor:
    """The view of one parameter."""
    return flat_N[span.start : span.stop].view(span.shape)


def _spans(named: dict[str, nn.Parameter], names: list[str]) -> list[Span]:
    spans: list[Span] = []
    start = 0
    for name in names:
        stop = start + named[name].numel()
        spans.append(Span(name, start, stop, tuple(named[name].shape)))
        start = stop
    return spans
