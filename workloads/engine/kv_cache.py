"""Which pages of the key/value cache belong to which sequence. Bookkeeping only: no tensors.

A page holds the keys and values of `page_size` consecutive tokens of one sequence. The tensors
are the runner's; who gets pages, and who must give them back, is the batcher's decision.
"""

from __future__ import annotations


class PagePool:
    """Pages 0..num_pages-1, each free or owned by exactly one sequence."""

    def __init__(self, num_pages: int, page_size: int) -> None:
        self.num_pages = num_pages
        self.page_size = page_size
        self._free = list(range(num_pages - 1, -1, -1))
        self._owned: dict[str, list[int]] = {}

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def used_ratio(self) -> float:
        return 1.0 - self.num_free / self.num_pages

    def num_pages_for(self, num_tokens: int) -> int:
        return -(-num_tokens // self.page_size)

    def fits(self, num_tokens: int) -> bool:
        """Whether a new sequence of this many tokens could have its pages now."""
        return self.num_pages_for(num_tokens) <= self.num_free

    def grow(self, sequence_id: str, num_tokens: int) -> bool:
        """Gives the sequence pages for `num_tokens` in all; False, and nothing, if short."""
        owned = self._owned.get(sequence_id, [])
        missing = self.num_pages_for(num_tokens) - len(owned)
        if missing > self.num_free:
            return False
        if missing > 0:
            owned.extend(self._free.pop() for _ in range(missing))
            self._owned[sequence_id] = owned
        return True

    def pages(self, sequence_id: str) -> tuple[int, ...]:
        """The sequence's pages in the order of its tokens."""
        return tuple(self._owned.get(sequence_id, ()))

    def release(self, sequence_id: str) -> None:
        """Takes all pages of the sequence back; an unknown sequence has none."""
        self._free.extend(reversed(self._owned.pop(sequence_id, [])))

    def check(self) -> None:
        """Raises AssertionError unless every page is free or owned exactly once."""
        owned = [page for pages in self._owned.values() for page in pages]
        if sorted(owned + self._free) != list(range(self.num_pages)):
            raise AssertionError(
                f"pages leaked or shared: {len(owned)} owned, {self.num_free} free"
            )
