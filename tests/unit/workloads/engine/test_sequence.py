"""A sequence: which tokens are next and when it ends."""

from __future__ import annotations

from tests.unit.workloads.engine.sequences import a_sequence
from workloads.engine.sequence import FinishReason


def test_tokens_run_over_from_the_prompt_into_the_output() -> None:
    sequence = a_sequence("a", num_prompt=3)
    sequence.output += [10, 11]
    assert sequence.tokens(2, 2) == [2, 10]
    assert sequence.tokens(4, 1) == [11]
    assert sequence.num_pending == 5


def test_the_end_token_stops_it_unless_ignored() -> None:
    stops, goes_on = a_sequence("a"), a_sequence("b", ignore_eos=True)
    stops.output.append(9)
    goes_on.output.append(9)
    assert stops.finish_reason(frozenset({9})) is FinishReason.STOP
    assert goes_on.finish_reason(frozenset({9})) is None


def test_the_limit_ends_it_with_length() -> None:
    sequence = a_sequence("a", max_tokens=2)
    sequence.output += [1, 2]
    assert sequence.finish_reason(frozenset()) is FinishReason.LENGTH


def test_the_same_seed_draws_the_same_numbers() -> None:
    first, second = a_sequence("a", seed=5), a_sequence("b", seed=5)
    assert [first.rng.random() for _ in range(3)] == [second.rng.random() for _ in range(3)]
