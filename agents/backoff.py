"""How long to wait before trying again. Pure: randomness is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(slots=True)
class Backoff:
    """Doubles from `first_s` to `most_s`; each wait is between half of that and all of it.

    The jitter keeps many agents from returning together after the control plane was away.
    """

    random: Random
    first_s: float = 0.1
    most_s: float = 10.0
    _step_s: float = 0.0

    def next_s(self) -> float:
        self._step_s = min(self.most_s, self._step_s * 2 or self.first_s)
        return self._step_s * (0.5 + self.random.random() / 2)

    def reset(self) -> None:
        self._step_s = 0.0
