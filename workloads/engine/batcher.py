"""What runs in the next step: continuous batching under one token budget. No tensors, no clock.

Running sequences that decode come first, then prompts in chunks, then newcomers. When pages run
out, the youngest sequence gives its pages back and is computed again later.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from workloads.engine.kv_cache import PagePool
from workloads.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one step. `step_tokens` counts prompt and decoded tokens together."""

    max_running: int = 32
    step_tokens: int = 512

    def __post_init__(self) -> None:
        if not 0 < self.max_running <= self.step_tokens:
            raise ValueError("a step must have room for one token of every running sequence")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive tokens of one sequence that run in this step."""

    sequence: Sequence
    start: int
    tokens: tuple[int, ...]
    pages: tuple[int, ...]
    samples: bool
    """Whether a token follows: the chunk reaches the sequence's end."""


class Batcher:
    """Holds the waiting and the running sequences and deals out steps."""

    def __init__(self, pool: PagePool, limits: Limits) -> None:
        self.pool = pool
        self.limits = limits
        self.num_preemptions = 0
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        return len(self._running)

    def add(self, sequence: Sequence) -> None:
        """Queues a sequence; ValueError if it could outgrow the whole cache."""
        if self.pool.num_pages_for(sequence.most_tokens) > self.pool.num_pages:
            raise ValueError(f"{sequence.most_tokens} tokens never fit in the cache")
        self._waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forgets a sequence, finished or aborted, and frees its pages; twice does no harm."""
        self.pool.release(sequence.id)
        if sequence in self._running:
            self._running.remove(sequence)
        elif sequence in self._waiting:
            self._waiting.remove(sequence)

    def next_step(self) -> list[Chunk]:
        """The chunks to run now; a chunk dealt out counts as computed. Empty when idle.

        Running sequences stand in order of admission, and who is admitted takes its whole prompt
        or the rest of the budget: so all but the last are decoding, and no prompt delays them.
        """
        chunks: list[Chunk] = []
        budget = self.limits.step_tokens
        turn = deque(self._running)
        while turn and budget:
            sequence = turn.popleft()
            count = min(sequence.num_pending, budget)
            if self._make_room(sequence, count, turn):
                chunks.append(self._deal(sequence, count))
                budget -= count
        return chunks + self._admit(budget)

    def _make_room(self, sequence: Sequence, count: int, victims: deque[Sequence]) -> bool:
        """Grows the sequence, at the cost of those whose turn comes last, else of itself."""
        while not self.pool.grow(sequence.id, sequence.num_computed + count):
            if not victims:
                self._preempt(sequence)
                return False
            self._preempt(victims.pop())
        return True

    def _preempt(self, sequence: Sequence) -> None:
        self.pool.release(sequence.id)
        sequence.num_computed = 0
        self._running.remove(sequence)
        self._waiting.appendleft(sequence)
        self.num_preemptions += 1

    def _admit(self, budget: int) -> list[Chunk]:
        """Newcomers whose whole prompt has pages; one just preempted has not: some were taken."""
        chunks = []
        while self._waiting and budget and self.num_running < self.limits.max_running:
            sequence = self._waiting[0]
            if not self.pool.fits(sequence.num_tokens):
                break
            self._running.append(self._waiting.popleft())
            count = min(sequence.num_pending, budget)
            self.pool.grow(sequence.id, sequence.num_tokens)
            chunks.append(self._deal(sequence, count))
            budget -= count
        return chunks

    def _deal(self, sequence: Sequence, count: int) -> Chunk:
        start = sequence.num_computed
        sequence.num_computed += count
        return Chunk(
            sequence=sequence,
            start=start,
            tokens=tuple(sequence.tokens(start, count)),
            pages=self.pool.pages(sequence.id),
            samples=sequence.num_pending == 0,
        )
