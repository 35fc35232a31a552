"""The loop: orders and steps of a scripted model, driven by hand on a clock of its own."""

from __future__ import annotations

from collections.abc import Sequence as Items

import torch
from torch import Tensor

from tests.unit.workloads.engine.sequences import a_batcher, a_sequence
from workloads.engine.batcher import Batcher, Chunk
from workloads.engine.loop import Engine
from workloads.engine.metrics import EngineMetrics
from workloads.engine.sequence import FinishReason, Piece, Sequence

VOCABULARY = "abcdefghijklmnopqrstuvwxyz."
END = VOCABULARY.index(".")


def decode(tokens: Items[int]) -> str:
    return "".join(VOCABULARY[token] for token in tokens if token != END)


class NextLetter:
    """Answers every letter with the one after it, `z` with the end."""

    def forward(self, chunks: list[Chunk]) -> Tensor:
        following = [(chunk.tokens[-1] + 1) % len(VOCABULARY) for chunk in chunks if chunk.samples]
        return torch.eye(len(VOCABULARY))[following]


class Harness:
    """An engine, what it published and its metrics."""

    def __init__(self, batcher: Batcher | None = None) -> None:
        self.batcher = batcher or a_batcher()
        self.pieces: list[Piece] = []
        self.metrics = EngineMetrics("m", "cpu")
        self._now = 0.0
        self.engine = Engine(
            NextLetter(),
            self.batcher,
            decode,
            frozenset({END}),
            self.pieces.extend,
            self.metrics,
            self._tick,
        )

    def run(self, *sequences: Sequence, steps: int = 100) -> None:
        """Carries out what was ordered, then steps."""
        for sequence in sequences:
            self.engine.submit(sequence)
        self.engine.stop()
        self.engine.run()
        for _ in range(steps):
            self.engine.step()

    def text(self, name: str) -> str:
        return "".join(piece.text for piece in self.pieces if piece.sequence_id == name)

    def finish(self, name: str) -> FinishReason | None:
        return next((p.finish for p in reversed(self.pieces) if p.sequence_id == name), None)

    def value(self, name: str, **labels: str) -> float | None:
        everything = {"model_name": "m", "chip_type": "cpu", **labels}
        return self.metrics.registry.get_sample_value(name, everything)

    def _tick(self) -> float:
        self._now += 0.5
        return self._now


def test_sequences_generate_side_by_side_until_their_limits() -> None:
    harness = Harness()
    harness.run(a_sequence("a", 1, max_tokens=3), a_sequence("b", 2, max_tokens=5))
    assert harness.text("a") == "bcd"
    assert harness.text("b") == "cdefg"
    assert harness.finish("a") is harness.finish("b") is FinishReason.LENGTH
    assert harness.batcher.pool.num_free == harness.batcher.pool.num_pages


def test_the_end_token_stops_and_is_no_text() -> None:
    harness = Harness()
    harness.run(a_sequence("a", 24, max_tokens=9))
    assert harness.text("a") == "yz"
    assert harness.finish("a") is FinishReason.STOP


def test_a_stop_string_stops_before_it() -> None:
    harness = Harness()
    harness.run(a_sequence("a", 1, max_tokens=20, stop=("de",)))
    assert harness.text("a") == "bc"
    assert harness.finish("a") is FinishReason.STOP


def test_text_held_back_for_a_stop_string_comes_out_at_the_limit() -> None:
    harness = Harness()
    harness.run(a_sequence("a", 1, max_tokens=3, stop=("dX",)))
    assert harness.text("a") == "bcd"


def test_an_aborted_sequence_frees_its_pages_and_publishes_no_more() -> None:
    harness = Harness()
    harness.run(a_sequence("a", 1, max_tokens=20), a_sequence("b", 1, max_tokens=4), steps=2)
    harness.engine.abort("a")
    harness.engine.abort("nobody")
    harness.run()
    assert harness.text("a") == "bc"
    assert harness.text("b") == "bcde"
    assert harness.batcher.pool.num_free == harness.batcher.pool.num_pages
    assert harness.value("vllm:request_success_total", finished_reason="abort") == 1


def test_preemption_changes_no_text() -> None:
    harness = Harness(a_batcher(num_pages=5, page_size=2, max_running=4))
    harness.run(*(a_sequence(name, 1, max_tokens=8) for name in "abc"))
    assert [harness.text(name) for name in "abc"] == ["bcdefghi"] * 3
    assert harness.batcher.num_preemptions > 0
    assert harness.value("vllm:num_preemptions_total") == harness.batcher.num_preemptions


def test_metrics_count_tokens_and_requests() -> None:
    harness = Harness()
    harness.run(a_sequence("a", 3, max_tokens=4))
    assert harness.value("vllm:prompt_tokens_total") == 3
    assert harness.value("vllm:generation_tokens_total") == 4
    assert harness.value("vllm:time_to_first_token_seconds_count") == 1
    assert harness.value("vllm:inter_token_latency_seconds_count") == 3
    assert harness.value("vllm:request_success_total", finished_reason="length") == 1
    assert harness.value("vllm:num_requests_running") == 0
    assert harness.value("vllm:kv_cache_usage_perc") == 0
    assert harness.engine.totals.num_tokens == 6
