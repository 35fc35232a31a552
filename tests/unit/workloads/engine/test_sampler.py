"""The sampler: greedy, temperature, cuts, scores; the draw decides and nothing else."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from workloads.engine.sampler import sample
from workloads.engine.sequence import SamplingParams

PROBABILITIES = (0.5, 0.3, 0.15, 0.05)


def a_wish(**params: float | int | None) -> SamplingParams:
    return SamplingParams(**{"max_tokens": 1, "seed": 0, **params})  # type: ignore[arg-type]


def logits_1V() -> Tensor:
    return torch.tensor([[math.log(value) for value in PROBABILITIES]])


def drawn(draw: float, **params: float | int | None) -> int:
    return sample(logits_1V(), [a_wish(**params)], [draw])[0].token


def test_temperature_zero_takes_the_likeliest() -> None:
    assert drawn(0.999, temperature=0.0) == 0


@pytest.mark.parametrize(
    "draw,token", [(0.0, 0), (0.49, 0), (0.51, 1), (0.79, 1), (0.81, 2), (0.96, 3), (0.9999, 3)]
)
def test_the_draw_picks_by_cumulative_probability(draw: float, token: int) -> None:
    assert drawn(draw) == token


def test_low_temperature_sharpens_and_high_flattens() -> None:
    assert drawn(0.6, temperature=0.3) == 0
    assert drawn(0.6, temperature=2.0) == 1


@pytest.mark.parametrize("params", [{"top_k": 2}, {"top_p": 0.6}])
def test_cut_off_tokens_are_never_drawn(params: dict[str, float]) -> None:
    assert {drawn(draw / 100, **params) for draw in range(100)} == {0, 1}


def test_a_tiny_nucleus_still_holds_the_likeliest() -> None:
    assert drawn(0.99, top_p=0.0) == 0


def test_rows_are_sampled_by_their_own_wishes() -> None:
    rows_BV = logits_1V().repeat(3, 1)
    wishes = [a_wish(temperature=0.0), a_wish(), a_wish(top_k=1)]
    assert [choice.token for choice in sample(rows_BV, wishes, [0.9, 0.9, 0.9])] == [0, 2, 0]


def test_scores_are_the_models_own_whatever_the_temperature() -> None:
    [choice] = sample(logits_1V(), [a_wish(temperature=2.0, num_logprobs=2)], [0.99])
    assert choice.token == 3
    assert choice.logprob == pytest.approx(math.log(0.05), abs=1e-5)
    assert [token for token, _ in choice.top] == [0, 1]
    assert choice.top[0][1] == pytest.approx(math.log(0.5), abs=1e-5)


def test_more_alternatives_than_tokens_are_all_tokens() -> None:
    [choice] = sample(logits_1V(), [a_wish(num_logprobs=20)], [0.0])
    assert len(choice.top) == len(PROBABILITIES)


def test_no_scores_are_computed_unasked() -> None:
    [choice] = sample(logits_1V(), [a_wish()], [0.0])
    assert choice.logprob is None
    assert choice.top == ()
