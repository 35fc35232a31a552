"""Small inputs for the engine: seeded prose to train on, and a shape that trains in seconds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

WORDS: Final = "the chip that learns from other chips what a gang can do in one step".split()
SHAPE: Final = {
    "num_layers": 1, "hidden_size": 32, "num_heads": 2, "num_kv_heads": 1,
    "intermediate_size": 64, "vocab_size": 300, "max_seq_len": 32,
}  # fmt: skip


def write_prose(folder: Path, num_files: int = 40) -> Path:
    """Files of words drawn with a fixed seed."""
    draw = random.Random(5)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(num_files):
        lines = [" ".join(draw.choices(WORDS, k=9)) for _ in range(30)]
        (folder / f"text-{number:02}.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder
