"""How fast this engine works on its chip, measured so that replicas can be compared.

Tokens per second depend on how many sequences share a step, so a figure that followed the load
would report more about the traffic than about the chip: only steps of about `DECODE_BATCH` decoding
sequences count, and steps that do nothing but take in prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from penstock.api.work import DECODE_BATCH, Phase

LEAST_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class PhaseTotals:
    """Tokens of one phase in steps that count, and the time of these."""

    num_tokens: int = 0
    seconds: float = 0.0

    def speed_since(self, earlier: PhaseTotals) -> float | None:
        """Tokens per second; None unless such steps took `LEAST_S` in the meantime."""
        seconds = self.seconds - earlier.seconds
        return (self.num_tokens - earlier.num_tokens) / seconds if seconds >= LEAST_S else None


@dataclass(frozen=True, slots=True)
class Totals:
    """Running totals: all tokens worked through, and by phase those of the steps that count."""

    num_tokens: int = 0
    phases: Mapping[Phase, PhaseTotals] = field(
        default_factory=lambda: {Phase.PREFILL: PhaseTotals(), Phase.DECODE: PhaseTotals()}
    )

    def plus(self, chunk_sizes: Sequence[int], seconds: float) -> Totals:
        """With one more step, which ran chunks of these sizes."""
        num_new, phase = sum(chunk_sizes), _phase_of(chunk_sizes)
        phases = dict(self.phases)
        if phase is not None:
            before = phases[phase]
            phases[phase] = PhaseTotals(before.num_tokens + num_new, before.seconds + seconds)
        return Totals(self.num_tokens + num_new, phases)


def _phase_of(chunk_sizes: Sequence[int]) -> Phase | None:
    """Up to half as many sequences more than in a full step also count as one."""
    if max(chunk_sizes) == 1:
        full = DECODE_BATCH <= len(chunk_sizes) <= DECODE_BATCH * 3 // 2
        return Phase.DECODE if full else None
    return Phase.PREFILL if min(chunk_sizes) > 1 else None


def measured_speed(
    step: Callable[[], int], clock: Callable[[], float], least_s: float, least_steps: int
) -> float:
    """Tokens per second of a step, which returns its tokens, repeated for at least `least_s`.

    The first call is not counted. Wall time on purpose: on a chip with a CPU quota the waits
    are part of its speed.
    """
    step()
    began, num_steps, num_tokens = clock(), 0, 0
    while num_steps < least_steps or clock() - began < least_s:
        num_tokens += step()
        num_steps += 1
    return num_tokens / (clock() - began)
