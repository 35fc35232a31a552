"""Greedy tokens of the batched, paged engine equal those of the model run without any cache."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace

import pytest

from tests.integration.serving.model_folders import SHAPE, a_model, greedy
from workloads.engine.batcher import Batcher, Limits
from workloads.engine.kernels.base import load_ops
from workloads.engine.kv_cache import PagePool
from workloads.engine.loop import Engine
from workloads.engine.metrics import EngineMetrics
from workloads.engine.runner import Runner
from workloads.engine.sequence import Piece, SamplingParams, Sequence
from workloads.models.config import RopeScaling, config_of_shape
from workloads.models.llama import Llama

pytestmark = pytest.mark.integration
CONFIG = config_of_shape(SHAPE)
EOS = frozenset({0})


@dataclass(frozen=True)
class Setting:
    """How the engine is pressed; `num_pages` small enough forces preemption."""

    page_size: int = 16
    num_pages: int = 256
    step_tokens: int = 512
    max_running: int = 32
    joins_every: int = 0


class Harness:
    """An engine over real weights, driven step by step, pages checked after every one."""

    def __init__(self, model: Llama, setting: Setting) -> None:
        self.setting = setting
        pool = PagePool(setting.num_pages, setting.page_size)
        self.batcher = Batcher(pool, Limits(setting.max_running, setting.step_tokens))
        runner = Runner(model, load_ops("cpu"), setting.num_pages, setting.page_size)
        self._pieces: list[Piece] = []
        self._engine = Engine(
            runner,
            self.batcher,
            lambda tokens: "",
            EOS,
            self._pieces.extend,
            EngineMetrics("m", "cpu"),
            time.monotonic,
        )

    def run(self, sequences: list[Sequence]) -> list[list[int]]:
        """All outputs; sequences join at once or one every `joins_every` steps."""
        left = list(sequences)
        while left or self.batcher.num_running or self.batcher.num_waiting:
            for sequence in left[:1] if self.setting.joins_every else left:
                self._engine.submit(sequence)
            left = left[1:] if self.setting.joins_every else []
            self._engine.stop()
            self._engine.run()
            for _ in range(self.setting.joins_every or 1):
                self._engine.step()
                self.batcher.pool.check()
        assert self.batcher.pool.num_free == self.setting.num_pages
        return [self._output(sequence) for sequence in sequences]

    def _output(self, sequence: Sequence) -> list[int]:
        mine = [piece for piece in self._pieces if piece.sequence_id == sequence.id]
        return [piece.choice.token for piece in mine if piece.choice]


def some_sequences(seed: int, num: int, most_prompt: int = 60) -> list[Sequence]:
    rng = random.Random(seed)
    return [
        Sequence(
            f"s{n}",
            tuple(rng.randrange(1, CONFIG.vocab_size) for _ in range(rng.randint(1, most_prompt))),
            SamplingParams(max_tokens=rng.randint(1, 30), seed=n, temperature=0.0),
            arrived_at=0.0,
        )
        for n in range(num)
    ]


@pytest.fixture(scope="module")
def model() -> Llama:
    return a_model(CONFIG)


@pytest.mark.parametrize(
    "setting",
    [
        Setting(),
        Setting(page_size=1, num_pages=4096),
        Setting(page_size=7),
        Setting(step_tokens=9, max_running=5),
        Setting(joins_every=3),
        Setting(page_size=4, num_pages=30, step_tokens=24, max_running=8),
    ],
    ids=["batched", "page-of-one", "odd-pages", "chunked", "joining", "preempted"],
)
def test_batching_changes_no_greedy_token(model: Llama, setting: Setting) -> None:
    sequences = some_sequences(seed=3, num=14)
    expected = [greedy(model, list(s.prompt), s.params.max_tokens, EOS) for s in sequences]
    assert len({tuple(output) for output in expected}) > 10
    harness = Harness(model, setting)
    assert harness.run(sequences) == expected
    if setting.num_pages == 30:
        assert harness.batcher.num_preemptions > 0


def test_an_untied_model_with_stretched_positions_agrees_too() -> None:
    config = replace(
        CONFIG,
        tie_word_embeddings=False,
        num_key_value_heads=4,
        rope_scaling=RopeScaling(8.0, 1.0, 4.0, 64),
    )
    model = a_model(config, seed=2)
    sequences = some_sequences(seed=4, num=4)
    expected = [greedy(model, list(s.prompt), s.params.max_tokens, EOS) for s in sequences]
    assert Harness(model, Setting(step_tokens=40)).run(sequences) == expected


def test_a_seeded_sample_does_not_depend_on_its_neighbours(model: Llama) -> None:
    def drawn(num_neighbours: int) -> list[int]:
        prompt = tuple(range(5, 25))
        mine = Sequence("mine", prompt, SamplingParams(20, seed=7, ignore_eos=True), 0.0)
        return Harness(model, Setting()).run([mine, *some_sequences(5, num_neighbours)])[0]

    alone = drawn(0)
    assert len(set(alone)) > 5
    assert drawn(6) == alone
