"""Which samples make up the batch of a step: a function of seed, step and batch size alone.

Ranks, shares and chips do not enter, so a job that resumes on others goes on in the same order.
"""

from __future__ import annotations

import hashlib
from typing import Final

NUM_ROUNDS: Final = 6


def samples_of_step(
    seed: int, step: int, batch_size: int, num_samples: int, span: range | None = None
) -> tuple[int, ...]:
    """Indices of the step's samples, or of a span of its batch.

    Every sample comes once per pass over the data.
    """
    wanted = range(batch_size) if span is None else span
    positions = (step * batch_size + offset for offset in wanted)
    return tuple(
        shuffled(position % num_samples, num_samples, f"{seed}/{position // num_samples}")
        for position in positions
    )


def shuffled(index: int, size: int, key: str) -> int:
    """Where a keyed permutation of range(size) takes `index`.

    A Feistel network over the next even number of bits, walked until it falls into the range
    (Black and Rogaway 2002): constant memory however long the data.
    """
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    while True:
        index = _feistel(index, half_bits, key)
        if index < size:
            return index


def _feistel(index: int, half_bits: int, key: str) -> int:
    mask = (1 << half_bits) - 1
    left, right = index >> half_bits, index & mask
    for number in range(NUM_ROUNDS):
        left, right = right, left ^ (_mixed(right, number, key) & mask)
    return left << half_bits | right


def _mixed(value: int, number: int, key: str) -> int:
    digest = hashlib.blake2b(f"{key}/{number}/{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
