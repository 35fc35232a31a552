"""Splitting a batch over ranks of unequal speed."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.specs import ShareStep
from workloads.training.parallel.shares import (
    RankCost,
    best_split,
    check_recorded,
    corrected_split,
    damped,
    equal_split,
    gang_step_s,
    is_correction_step,
    passes_of,
    shares_at,
    span_of,
)

seconds = st.floats(min_value=1e-4, max_value=10.0)
costs = st.lists(
    st.builds(RankCost, sample_s=seconds, fixed_s=st.floats(0.0, 1.0)), min_size=1, max_size=8
)


@given(costs, st.integers(0, 200))
def test_shares_add_up_to_the_batch_and_no_rank_goes_without(
    gang: list[RankCost], more: int
) -> None:
    shares = best_split(len(gang) + more, gang)
    assert sum(shares) == len(gang) + more
    assert min(shares) >= 1


@given(st.lists(st.builds(RankCost, sample_s=seconds), min_size=1, max_size=3), st.integers(0, 6))
def test_no_other_split_has_a_shorter_step(gang: list[RankCost], more: int) -> None:
    batch = len(gang) + more
    others = (s for s in product(range(1, batch + 1), repeat=len(gang)) if sum(s) == batch)
    best = min(gang_step_s(shares, gang) for shares in others)
    assert gang_step_s(best_split(batch, gang), gang) == best


def test_a_chip_of_twice_the_speed_takes_twice_the_samples() -> None:
    assert best_split(24, [RankCost(0.01), RankCost(0.02)]) == (16, 8)
    assert best_split(24, [RankCost(s) for s in (0.01, 0.01, 0.02, 0.02)]) == (8, 8, 4, 4)


def test_fixed_work_of_a_slow_chip_is_taken_off_its_share() -> None:
    assert best_split(12, [RankCost(0.1), RankCost(0.1, fixed_s=0.4)]) == (8, 4)


@given(costs, st.integers(0, 100), st.data())
def test_a_correction_never_makes_the_step_longer(
    gang: list[RankCost], more: int, data: st.DataObject
) -> None:
    other = data.draw(st.lists(seconds, min_size=len(gang), max_size=len(gang)))
    shares = best_split(len(gang) + more, [RankCost(s) for s in other])
    corrected = corrected_split(shares, gang)
    assert sum(corrected) == sum(shares)
    assert gang_step_s(corrected, gang) <= gang_step_s(shares, gang)


def test_a_small_gain_changes_nothing() -> None:
    gang = [RankCost(0.100), RankCost(0.101)]
    assert corrected_split((50, 50), gang) == (50, 50)
    assert corrected_split((80, 20), gang) == (50, 50)


def test_one_wild_measurement_moves_the_estimate_half_way() -> None:
    assert damped(RankCost(0.1, 0.0), RankCost(0.3, 0.2)) == RankCost(0.2, 0.1)


@given(st.integers(1, 16), st.integers(0, 100))
def test_equal_shares_differ_by_one_at_most(world: int, more: int) -> None:
    shares = equal_split(world + more, world)
    assert sum(shares) == world + more
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize("world", [0, 9])
def test_a_batch_smaller_than_the_gang_is_refused(world: int) -> None:
    with pytest.raises(ValueError, match="batch_size 8 is less than the number of ranks"):
        equal_split(8, world)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_ranks_take_neighbouring_spans_without_gap_or_overlap(shares: list[int]) -> None:
    taken = [index for rank in range(len(shares)) for index in span_of(shares, rank)]
    assert taken == list(range(sum(shares)))


@given(st.integers(1, 300), st.integers(1, 64))
def test_passes_hold_the_whole_share_and_none_is_over_the_micro_batch(
    share: int, micro: int
) -> None:
    passes = passes_of(share, micro)
    assert sum(passes) == share
    assert len(passes) == -(-share // micro)
    assert max(passes) <= micro


def test_shares_may_change_often_at_first_and_seldom_later() -> None:
    assert [n for n in range(100) if is_correction_step(n)] == [8, 16, 24, 32, 64, 96]


LOG = (ShareStep(from_step=0, shares=(4, 2)), ShareStep(from_step=10, shares=(3, 3)))


def test_a_log_gives_the_last_entry_at_or_before_a_step() -> None:
    assert [shares_at(LOG, step) for step in (0, 9, 10, 99)] == [(4, 2), (4, 2), (3, 3), (3, 3)]
    assert shares_at(LOG[1:], 9) is None


def test_a_log_for_this_gang_is_accepted() -> None:
    check_recorded(LOG, first_step=0, batch=6, world=2)


@pytest.mark.parametrize(
    "first_step, batch, world, message",
    [
        (0, 6, 3, "recorded for 2 ranks, this gang has 3"),
        (0, 8, 2, "must be at least 1 each and 8 in all"),
    ],
)
def test_a_log_of_another_gang_is_refused(
    first_step: int, batch: int, world: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_recorded(LOG, first_step, batch, world)


def test_a_log_that_begins_too_late_is_refused() -> None:
    with pytest.raises(ValueError, match="no recorded entry at or before step 5"):
        check_recorded(LOG[1:], first_step=5, batch=6, world=2)
