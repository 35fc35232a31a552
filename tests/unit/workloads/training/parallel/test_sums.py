"""Numbers that travel behind the gradients, added up in float32."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workloads.training.parallel.sums import StepSums, alone, data_check, decode, encode, tail_size

MOST_TOKENS = 2**22


def _mine(rank: int, world: int, tokens: int, stop: int = 0, check: int = 0) -> StepSums:
    part = alone(0.25 * (rank + 1), rank, world)
    return StepSums(0.5 * tokens, tokens, check, stop, part, part)


def _added(parts: list[StepSums]) -> StepSums:
    total = np.zeros(tail_size(len(parts)), dtype=np.float32)
    for part in parts:
        total += np.asarray(encode(part), dtype=np.float32)
    return decode(total.tolist(), len(parts))


@given(st.lists(st.integers(1, MOST_TOKENS), min_size=1, max_size=8))
def test_token_counts_stay_exact_beyond_what_float32_can_count(tokens: list[int]) -> None:
    parts = [_mine(rank, len(tokens), count) for rank, count in enumerate(tokens)]
    assert _added(parts).num_tokens == sum(tokens)


def test_every_rank_finds_the_times_of_every_rank() -> None:
    sums = _added([_mine(rank, 3, 8) for rank in range(3)])
    assert sums.pass_s == (0.25, 0.5, 0.75)
    assert sums.fixed_s == (0.25, 0.5, 0.75)


def test_one_rank_that_is_to_stop_is_heard_by_all() -> None:
    assert _added([_mine(0, 2, 8), _mine(1, 2, 8, stop=1)]).num_stopping == 1


def test_the_mean_loss_is_over_the_tokens_of_the_gang() -> None:
    assert _added([_mine(0, 2, 100), _mine(1, 2, 300)]).mean_loss == 0.5


samples = st.lists(st.binary(min_size=1, max_size=8), min_size=2, max_size=40)


@given(samples, st.data())
def test_the_check_number_is_the_same_however_the_batch_was_split(
    batch: list[bytes], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(batch) - 1))
    whole = data_check(0, batch, len(batch))
    first = data_check(0, batch[:cut], len(batch))
    rest = data_check(cut, batch[cut:], len(batch))
    assert int(np.float32(first) + np.float32(rest)) == whole


def test_the_check_number_sees_another_sample_and_another_order() -> None:
    batch = [b"one", b"two", b"three"]
    assert data_check(0, batch, 3) != data_check(0, [b"one", b"two", b"four"], 3)
    assert data_check(0, batch, 3) != data_check(0, [b"two", b"one", b"three"], 3)
