"""A small job and a small corpus, so that real gangs train within seconds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.agent_socket import FakeAgent

WORDS = "the chip that learns from other chips what a gang of them can do in one step".split()
SHAPE = {
    "num_layers": 1, "hidden_size": 32, "num_heads": 2, "num_kv_heads": 1,
    "intermediate_size": 64, "vocab_size": 300, "max_seq_len": 32,
}  # fmt: skip


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty files of seeded prose."""
    folder = tmp_path_factory.mktemp("corpus")
    draw = random.Random(5)
    for number in range(40):
        lines = [" ".join(draw.choices(WORDS, k=9)) for _ in range(30)]
        (folder / f"text-{number:02}.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def work(corpus: Path) -> dict[str, Any]:
    """The work document of a short training job."""
    return {
        "model": SHAPE, "data": str(corpus), "steps": 12, "batch_size": 6, "micro_batch": 2,
        "checkpoint_every": 4, "learning_rate": 1e-2, "shares": "equal", "resume": None,
    }  # fmt: skip


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeAgent]:
    with FakeAgent(tmp_path / "agent.sock") as fake:
        yield fake
