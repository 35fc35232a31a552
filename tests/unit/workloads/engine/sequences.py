"""Builders of sequences and pools for the engine's unit tests."""

from __future__ import annotations

from typing import Any

from workloads.engine.batcher import Batcher, Limits
from workloads.engine.kv_cache import PagePool
from workloads.engine.sequence import SamplingParams, Sequence


def a_sequence(name: str, num_prompt: int = 3, max_tokens: int = 4, **params: Any) -> Sequence:
    wish = SamplingParams(**{"max_tokens": max_tokens, "seed": 0, "temperature": 0.0, **params})
    return Sequence(name, tuple(range(num_prompt)), wish, arrived_at=0.0)


def a_batcher(num_pages: int = 64, page_size: int = 4, **limits: int) -> Batcher:
    return Batcher(PagePool(num_pages, page_size), Limits(**limits))


def run_to_end(batcher: Batcher, sequences: list[Sequence], most_steps: int = 1000) -> int:
    """Steps with invented tokens until all sequences have ended; the number of steps."""
    left = {sequence.id for sequence in sequences}
    for step in range(most_steps):
        if not left:
            return step
        chunks = batcher.next_step()
        prompts = [chunk.start for chunk in chunks if not chunk.samples]
        assert len(prompts) <= 1, "two prompts in pieces share a step"
        assert sum(len(chunk.tokens) for chunk in chunks) <= batcher.limits.step_tokens
        for chunk in chunks:
            check_chunk(batcher, chunk.sequence, chunk.start, chunk.tokens, chunk.pages)
            if chunk.samples:
                chunk.sequence.output.append(100 + len(chunk.sequence.output))
                if chunk.sequence.finish_reason(frozenset()):
                    batcher.remove(chunk.sequence)
                    left.discard(chunk.sequence.id)
        batcher.pool.check()
    raise AssertionError(f"still running after {most_steps} steps: {sorted(left)}")


def check_chunk(
    batcher: Batcher,
    sequence: Sequence,
    start: int,
    tokens: tuple[int, ...],
    pages: tuple[int, ...],
) -> None:
    """A chunk carries the sequence's own tokens, and pages for all that came before them."""
    whole = [*sequence.prompt, *sequence.output]
    assert list(tokens) == whole[start : start + len(tokens)]
    assert len(pages) * batcher.pool.page_size >= start + len(tokens)
