"""How fast this engine decodes on its chip, measured so that replicas can be compared.

Tokens per second depend on how many sequences share a step, so a figure that followed the load
would say more about the traffic than about the chip: only steps of about `FULL_STEP` decoding
sequences count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

FULL_STEP: Final = 8
"""Sequences in the step whose speed is reported; up to half as many more also count."""
LEAST_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Totals:
    """Running totals: all tokens worked through; those decoded in full steps and their time."""

    num_tokens: int = 0
    num_decoded: int = 0
    decode_s: float = 0.0

    def plus(self, chunk_sizes: Sequence[int], seconds: float) -> Totals:
        """With one more step, which ran chunks of these sizes."""
        full = max(chunk_sizes) == 1 and FULL_STEP <= len(chunk_sizes) <= FULL_STEP * 3 // 2
        return Totals(
            self.num_tokens + sum(chunk_sizes),
            self.num_decoded + (len(chunk_sizes) if full else 0),
            self.decode_s + (seconds if full else 0.0),
        )

    def speed_since(self, earlier: Totals) -> float | None:
        """Tokens per second; None unless full steps took `LEAST_S` in the meantime."""
        seconds = self.decode_s - earlier.decode_s
        return (self.num_decoded - earlier.num_decoded) / seconds if seconds >= LEAST_S else None


def decoding_speed(
    step: Callable[[], object], clock: Callable[[], float], least_s: float, least_steps: int = 3
) -> float:
    """Tokens per second of a step of `FULL_STEP` sequences, repeated for at least `least_s`.

    The first call is not counted. Wall time on purpose: on a chip with a CPU quota the waits
    are part of its speed.
    """
    step()
    began, num_steps = clock(), 0
    while num_steps < least_steps or clock() - began < least_s:
        step()
        num_steps += 1
    return FULL_STEP * num_steps / (clock() - began)
