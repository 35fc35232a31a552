"""Settings of the interpreter for a process whose threads compute beside an event loop, and which
remembers a large pool.
"""

from __future__ import annotations

import gc
import sys
from typing import Final

SWITCH_S: Final = 0.0005
"""A thread that computes leaves others their turn after so long: the event loop takes many short
ones for each answer, and Python's own 5 ms would be waited for with each of them."""
COLLECT_AFTER: Final = (50_000, 20, 10)
"""Objects that stay, and generations between collections. Each reading of ten thousand chips makes
tens of thousands that stay for a while; by Python's own (700, 10, 10) every third one stops all
threads for as long as the reading itself takes."""


def tune() -> None:
    """To be called once what is imported is there: no collection looks at that again."""
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
