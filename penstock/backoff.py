"""How long to wait before trying again. Pure: randomness is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

MOST_DOUBLINGS: Final = 40


def doubled_s(num_failures: int, first_s: float, most_s: float) -> float:
    """The wait after so many failures in a row: `first_s`, doubled with each, up to `most_s`."""
    return min(most_s, first_s * 2.0 ** min(max(num_failures - 1, 0), MOST_DOUBLINGS))


def jittered_s(wait_s: float, share: float) -> float:
    """Between half of the wait and all of it: many that failed together do not return together."""
    return wait_s * (0.5 + share / 2)


@dataclass(slots=True)
class Backoff:
    """Waits of one who fails in a row, with jitter."""

    random: Random
    first_s: float = 0.1
    most_s: float = 10.0
    _num_failures: int = 0

    def next_s(self) -> float:
        self._num_failures += 1
        wait_s = doubled_s(self._num_failures, self.first_s, self.most_s)
        return jittered_s(wait_s, self.random.random())

    def reset(self) -> None:
        self._num_failures = 0
