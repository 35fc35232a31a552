"""The batcher: who runs when, in which chunks, and what happens when pages run out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.workloads.engine.sequences import a_batcher, a_sequence, run_to_end
from workloads.engine.batcher import Limits


def test_an_idle_batcher_has_no_step() -> None:
    assert a_batcher().next_step() == []


def test_a_short_prompt_runs_whole_and_samples_at_once() -> None:
    batcher = a_batcher()
    batcher.add(a_sequence("a", num_prompt=3))
    [chunk] = batcher.next_step()
    assert (chunk.start, chunk.tokens, chunk.samples) == (0, (0, 1, 2), True)


def test_a_long_prompt_runs_in_chunks_and_samples_after_the_last() -> None:
    batcher = a_batcher(step_tokens=4, max_running=2)
    batcher.add(a_sequence("a", num_prompt=10))
    steps = [batcher.next_step()[0] for _ in range(3)]
    assert [len(chunk.tokens) for chunk in steps] == [4, 4, 2]
    assert [chunk.samples for chunk in steps] == [False, False, True]


def test_decoding_goes_before_prompts_within_the_budget() -> None:
    batcher = a_batcher(step_tokens=4, max_running=4)
    first, second = a_sequence("a", num_prompt=2), a_sequence("b", num_prompt=9)
    batcher.add(first)
    batcher.add(second)
    batcher.next_step()
    first.output.append(7)
    sizes = {chunk.sequence.id: len(chunk.tokens) for chunk in batcher.next_step()}
    assert sizes == {"a": 1, "b": 3}


def test_newcomers_join_running_sequences_in_order_of_arrival() -> None:
    batcher = a_batcher(max_running=2)
    for name in "abc":
        batcher.add(a_sequence(name))
    assert [chunk.sequence.id for chunk in batcher.next_step()] == ["a", "b"]
    assert (batcher.num_running, batcher.num_waiting) == (2, 1)


def test_a_sequence_that_ends_makes_room_for_the_next() -> None:
    batcher = a_batcher(max_running=1)
    first, second = a_sequence("a"), a_sequence("b")
    batcher.add(first)
    batcher.add(second)
    batcher.next_step()
    batcher.remove(first)
    assert [chunk.sequence.id for chunk in batcher.next_step()] == ["b"]


def test_the_youngest_gives_way_when_pages_run_out_and_is_computed_again() -> None:
    batcher = a_batcher(num_pages=4, page_size=4)
    old, young = a_sequence("old", 7, max_tokens=9), a_sequence("young", 7, max_tokens=9)
    batcher.add(old)
    batcher.add(young)
    assert run_to_end(batcher, [old, young]) > 0
    assert batcher.num_preemptions >= 1
    assert old.output == young.output == list(range(100, 109))
    assert batcher.pool.num_free == 4


def test_a_sequence_that_could_never_fit_is_refused() -> None:
    batcher = a_batcher(num_pages=2, page_size=4)
    with pytest.raises(ValueError, match="never fit"):
        batcher.add(a_sequence("a", num_prompt=5, max_tokens=4))


def test_removing_a_waiting_sequence_leaves_no_trace() -> None:
    batcher = a_batcher(max_running=1)
    first, second = a_sequence("a"), a_sequence("b")
    batcher.add(first)
    batcher.add(second)
    batcher.next_step()
    batcher.remove(second)
    batcher.remove(second)
    assert batcher.num_waiting == 0
    assert batcher.num_running == 1


def test_a_step_must_hold_every_running_sequence() -> None:
    with pytest.raises(ValueError, match="room"):
        Limits(max_running=8, step_tokens=7)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 12)), min_size=1, max_size=12),
    num_pages=st.integers(11, 24),
    page_size=st.integers(3, 6),
    step_tokens=st.integers(4, 24),
)
def test_everybody_finishes_with_the_right_tokens_whatever_the_pressure(
    sizes: list[tuple[int, int]], num_pages: int, page_size: int, step_tokens: int
) -> None:
    batcher = a_batcher(num_pages, page_size, step_tokens=step_tokens, max_running=4)
    sequences = [a_sequence(f"s{n}", *size) for n, size in enumerate(sizes)]
    for sequence in sequences:
        batcher.add(sequence)
    run_to_end(batcher, sequences)
    for sequence, (_, max_tokens) in zip(sequences, sizes, strict=True):
        assert sequence.output == list(range(100, 100 + max_tokens))
    assert batcher.pool.num_free == num_pages
