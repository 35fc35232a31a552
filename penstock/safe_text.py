"""What in a text could drive whoever reads it: controls, escapes, marks that reorder. Removes it
where a text from a job becomes part of one of our sentences. Showing it is `cli/terminal`'s.
"""

from __future__ import annotations

import re
from typing import Final

UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
ESCAPES: Final = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[P^_X][^\x1b]*(?:\x1b\\)?|\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[@-_]?"
)
_CUT: Final = "…"


def one_line(text: str, most: int) -> str:
    """One line of at most `most` characters, without controls; a longer one ends in `…`."""
    plain = " ".join(UNSAFE.sub(" ", ESCAPES.sub("", text)).split())
    return plain if len(plain) <= most else plain[: most - 1] + _CUT
