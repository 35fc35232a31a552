"""Puts one replica's engine together: model, device, cache size, batcher, first measurement.

The only module that the server imports late: from here on torch is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from penstock.api.assignments import AssignedChip
from penstock.api.vendors import Vendor, vendor_table
from penstock.api.work import DECODE_BATCH, Phase, WorkClass, folder_name, serve_class
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
from workloads.engine.speed import measured_speed
from workloads.models.config import LlamaConfig, size_of
from workloads.models.llama import Llama

DEFAULT_CACHE_BYTES: Final = 2**30
MEASURE_S: Final = 0.3
PREFILL_TOKENS: Final = 128
_DTYPES: Final[Mapping[torch.dtype, str]] = {torch.float32: "fp32", torch.bfloat16: "bf16"}


@dataclass(frozen=True, slots=True)
class Built:
    """An engine about to run, with how fast its phases were at the start."""

    engine: Engine
    served: Served
    tokens_per_s: Mapping[Phase, float]
    classes: Mapping[Phase, WorkClass]
    """What its speeds are called in the throughput table."""


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
    vendor = vendor_of(chips)
    loaded = load_model(work, vendor.torch_device)
    classes = work_classes(work, loaded.model, len(chips))
    size = cache_size(loaded.model.config, loaded.model.unembedding().itemsize, chips, work)
    limit_context(loaded.model, size.context)
    runner = Runner(loaded.model, load_ops(vendor.backend), size.num_pages, work.page_size)
    pool = PagePool(size.num_pages, work.page_size)
    batcher = Batcher(pool, Limits(work.max_running, work.step_tokens))
    decode = loaded.tokenizer.decode
    engine = Engine(runner, batcher, decode, loaded.eos, publish, metrics, clock)
    return Built(
        engine=engine,
        served=_served(loaded, engine, size.context),
        tokens_per_s=_measured_speeds(runner, work, size, clock),
        classes=classes,
    )


def vendor_of(chips: Sequence[AssignedChip]) -> Vendor:
    """The row of the chips' vendor; that of the host where none is held."""
    table = vendor_table()
    row = table.get(chips[0].vendor) if chips else None
    return row if row and row.torch_device else table["cpu"]


def cache_size(
    config: LlamaConfig, itemsize: int, chips: Sequence[AssignedChip], work: ServeWork
) -> CacheSize:
    """Room for every running sequence at full length, within the bytes allowed."""
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    memory = sum(chip.memory_bytes or 0 for chip in chips) // 4 or DEFAULT_CACHE_BYTES
    affordable = (work.cache_bytes or memory) // (per_token * itemsize * work.page_size)
    wanted = work.max_running * -(-config.max_position_embeddings // work.page_size)
    num_pages = max(min(affordable, wanted), DECODE_BATCH)
    return CacheSize(num_pages, min(config.max_position_embeddings, num_pages * work.page_size))


def work_classes(work: ServeWork, model: Llama, num_chips: int) -> Mapping[Phase, WorkClass]:
    """A checkpoint is known by its shape, any other model by its folder."""
    size = size_of(model.config)
    name = size.name if work.kind == "checkpoint" else folder_name(work.model_uri)
    dtype = _DTYPES.get(model.unembedding().dtype, "")
    return {
        phase: serve_class(phase, name, max(1, num_chips), dtype, size)
        for phase in (Phase.PREFILL, Phase.DECODE)
    }


def _served(loaded: LoadedModel, engine: Engine, context: int) -> Served:
    return Served(
        engine=engine,
        text=loaded.tokenizer,
        context=context,
        vocab_size=loaded.model.config.vocab_size,
        bos=loaded.bos,
        manifest_sha256=loaded.manifest_sha256,
    )


def _measured_speeds(
    runner: Runner, work: ServeWork, size: CacheSize, clock: Callable[[], float]
) -> Mapping[Phase, float]:
    """Decodes with a page of context each, before anybody owns a page, and takes in a prompt;
    also warms up.
    """
    last = work.page_size - 1
    decoding = [_chunk(f"measure-{page}", last, 1, (page,)) for page in range(DECODE_BATCH)]
    length = min(PREFILL_TOKENS, work.step_tokens, size.context)
    pages = tuple(range(-(-length // work.page_size)))
    prompt = [_chunk("measure", 0, length, pages)]

    def step(chunks: list[Chunk]) -> int:
        params = [chunk.sequence.params for chunk in chunks]
        sample(runner.forward(chunks), params, [0.0] * len(chunks))
        return sum(len(chunk.tokens) for chunk in chunks)

    return {
        Phase.DECODE: measured_speed(lambda: step(decoding), clock, MEASURE_S, 3),
        Phase.PREFILL: measured_speed(lambda: step(prompt), clock, MEASURE_S / 3, 1),
    }


def _chunk(name: str, start: int, length: int, pages: tuple[int, ...]) -> Chunk:
    params = SamplingParams(max_tokens=1, seed=0, temperature=0.0)
    sequence = EngineSequence(name, (0,), params, 0.0)
    return Chunk(sequence, start, (0,) * length, pages, True)
