"""Pages: all or nothing, never shared, all back in the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.engine.kv_cache import PagePool


def test_a_sequence_gets_whole_pages_for_its_tokens() -> None:
    pool = PagePool(num_pages=4, page_size=16)
    assert pool.grow("a", 17)
    assert len(pool.pages("a")) == 2
    assert pool.num_free == 2
    assert pool.used_ratio == 0.5


def test_growing_within_a_page_takes_nothing_new() -> None:
    pool = PagePool(num_pages=4, page_size=16)
    pool.grow("a", 1)
    before = pool.pages("a")
    assert pool.grow("a", 16)
    assert pool.pages("a") == before


def test_a_sequence_that_does_not_fit_gets_nothing() -> None:
    pool = PagePool(num_pages=2, page_size=16)
    assert not pool.fits(33)
    assert not pool.grow("a", 33)
    assert pool.num_free == 2


def test_releasing_twice_frees_once() -> None:
    pool = PagePool(num_pages=2, page_size=16)
    pool.grow("a", 32)
    pool.release("a")
    pool.release("a")
    pool.check()
    assert pool.num_free == 2


def test_the_check_finds_a_leak() -> None:
    pool = PagePool(num_pages=2, page_size=16)
    pool._free.pop()
    with pytest.raises(AssertionError, match="leaked"):
        pool.check()


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.one_of(st.none(), st.integers(0, 40))), max_size=60
    )
)
def test_no_history_leaks_or_shares_a_page(history: list[tuple[str, int | None]]) -> None:
    pool = PagePool(num_pages=12, page_size=3)
    for name, num_tokens in history:
        if num_tokens is None:
            pool.release(name)
        elif pool.grow(name, num_tokens):
            assert len(pool.pages(name)) * pool.page_size >= num_tokens
        pool.check()
