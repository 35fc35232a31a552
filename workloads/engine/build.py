"""Puts one replica's engine together: model, device, cache size, batcher, first measurement.

The only module that the server imports late: from here on torch is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from penstock.api.assignments import AssignedChip
from penstock.api.vendors import vendor_table
from workloads.engine.api.service import Served
from workloads.engine.batcher import Batcher, Chunk, Limits
from workloads.engine.kernels.base import load_ops
from workloads.engine.kv_cache import PagePool
from workloads.engine.loader import LoadedModel, limit_context, load_model
from workloads.engine.loop import Engine, Publish
from workloads.engine.metrics import EngineMetrics
from workloads.engine.options import ServeWork
from workloads.engine.runner import Runner
from workloads.engine.sampler import sample
from workloads.engine.sequence import SamplingParams
from workloads.engine.sequence import Sequence as EngineSequence
from workloads.engine.speed import FULL_STEP, decoding_speed
from workloads.models.config import LlamaConfig

DEFAULT_CACHE_BYTES: Final = 2**30
MEASURE_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Built:
    """An engine about to run. `tokens_per_s` is that of a full decoding step."""

    engine: Engine
    served: Served
    tokens_per_s: float
    work_class: str
    """Names the shape of the model in the throughput table."""


@dataclass(frozen=True, slots=True)
class CacheSize:
    """Pages in the cache, and how long a sequence may be: by the model or by the cache."""

    num_pages: int
    context: int


def build_engine(
    work: ServeWork,
    chips: Sequence[AssignedChip],
    publish: Publish,
    metrics: EngineMetrics,
    clock: Callable[[], float],
) -> Built:
    """Loads the model onto the chips and measures it; raises ModelRefused."""
    torch.set_num_threads(max(sum(chip.cores_milli for chip in chips) // 1000, 1))
    device = torch_device(chips)
    loaded = load_model(work, device)
    size = cache_size(loaded.model.config, loaded.model.unembedding().itemsize, chips, work)
    limit_context(loaded.model, size.context)
    runner = Runner(loaded.model, load_ops(device), size.num_pages, work.page_size)
    pool = PagePool(size.num_pages, work.page_size)
    batcher = Batcher(pool, Limits(work.max_running, work.step_tokens))
    decode = loaded.tokenizer.decode
    engine = Engine(runner, batcher, decode, loaded.eos, publish, metrics, clock)
    return Built(
        engine=engine,
        served=_served(loaded, engine, size.context),
        tokens_per_s=_measured_speed(runner, work.page_size, clock),
        work_class=f"serve/{shape_name(loaded.model.config)}",
    )


def torch_device(chips: Sequence[AssignedChip]) -> str:
    """The torch device type of the chips' vendor; the host where none is held."""
    row = vendor_table().get(chips[0].vendor) if chips else None
    return (row.torch_device if row else "") or "cpu"


def cache_size(
    config: LlamaConfig, itemsize: int, chips: Sequence[AssignedChip], work: ServeWork
) -> CacheSize:
    """Room for every running sequence at full length, within the bytes allowed."""
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    memory = sum(chip.memory_bytes or 0 for chip in chips) // 4 or DEFAULT_CACHE_BYTES
    affordable = (work.cache_bytes or memory) // (per_token * itemsize * work.page_size)
    wanted = work.max_running * -(-config.max_position_embeddings // work.page_size)
    num_pages = max(min(affordable, wanted), FULL_STEP)
    return CacheSize(num_pages, min(config.max_position_embeddings, num_pages * work.page_size))


def shape_name(config: LlamaConfig) -> str:
    return f"llama-{config.num_hidden_layers}x{config.hidden_size}"


def _served(loaded: LoadedModel, engine: Engine, context: int) -> Served:
    return Served(
        engine=engine,
        text=loaded.tokenizer,
        context=context,
        vocab_size=loaded.model.config.vocab_size,
        bos=loaded.bos,
        manifest_sha256=loaded.manifest_sha256,
    )


def _measured_speed(runner: Runner, page_size: int, clock: Callable[[], float]) -> float:
    """Decodes with a page of context each, before anybody owns a page; also warms up."""
    params = SamplingParams(max_tokens=1, seed=0, temperature=0.0)
    last = page_size - 1
    chunks = [
        Chunk(EngineSequence(f"measure-{page}", (0,), params, 0.0), last, (0,), (page,), True)
        for page in range(FULL_STEP)
    ]

    def step() -> None:
        sample(runner.forward(chunks), [params] * FULL_STEP, [0.0] * FULL_STEP)

    return decoding_speed(step, clock, MEASURE_S)
