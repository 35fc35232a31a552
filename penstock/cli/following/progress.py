"""The progress line of a job that trains. Pure: what it shows and how wide are arguments."""

from __future__ import annotations

from typing import Final

from penstock.cli.terminal.text import clean
from penstock.client.requests import Document
from penstock.words import duration, quantity

BAR_WIDTH: Final = 24


def progress_line(progress: Document | None, columns: int) -> str:
    """`[#####-----] step 120/2000  loss 2.31  1,520 tokens/s  3m20s left`; empty for nothing.

    Figures that the job does not report are left out, never guessed.
    """
    if not progress:
        return ""
    step, total = progress.get("step"), progress.get("total_steps")
    parts = []
    if step is not None:
        parts.append(f"step {step}/{total}" if total else f"step {step}")
    if progress.get("loss") is not None:
        parts.append(f"loss {progress['loss']:.4f}")
    if progress.get("tokens_per_s") is not None:
        parts.append(quantity(progress["tokens_per_s"], "tokens/s"))
    if step is not None and total and progress.get("step_time_s") is not None:
        parts.append(f"{duration((total - step) * progress['step_time_s'])} left")
    if progress.get("message"):
        parts.append(clean(progress["message"]))
    bar = [_bar(step / total)] if step is not None and total else []
    return "  ".join([*bar, *parts])[: max(columns - 1, 0)]


def _bar(share: float) -> str:
    filled = round(BAR_WIDTH * min(max(share, 0.0), 1.0))
    return f"[{'#' * filled}{'-' * (BAR_WIDTH - filled)}]"
