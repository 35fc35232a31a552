"""Waits grow to a bound, stay spread, and start over after success."""

from __future__ import annotations

from random import Random

from penstock.backoff import Backoff


def test_waits_double_up_to_the_bound_and_keep_at_least_half() -> None:
    backoff = Backoff(Random(1), first_s=0.1, most_s=2.0)
    waits = [backoff.next_s() for _ in range(10)]
    steps = [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0, 2.0]
    assert all(step / 2 <= wait <= step for wait, step in zip(waits, steps, strict=True))


def test_success_starts_over() -> None:
    backoff = Backoff(Random(1), first_s=0.1)
    for _ in range(5):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 0.1


def test_two_agents_do_not_wait_alike() -> None:
    first, second = Backoff(Random(1)), Backoff(Random(2))
    assert [first.next_s() for _ in range(3)] != [second.next_s() for _ in range(3)]
