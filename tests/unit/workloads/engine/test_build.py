"""How big the cache gets, on which device it stands and what its work is called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.api.assignments import AssignedChip
from penstock.api.ids import ChipId
from penstock.api.specs import ModelShape
from penstock.api.work import Phase
from workloads.checkpoints.model_files import ModelRefused
from workloads.engine.build import cache_size, vendor_of, work_classes
from workloads.engine.loader import read_config, special_ids
from workloads.engine.options import ServeWork
from workloads.models.config import config_of_shape, config_to_hf
from workloads.models.llama import Llama

CONFIG = config_of_shape(ModelShape())  # 2 layers, 2 kv heads of 32: 256 values per token
WORK = ServeWork(model_uri="x", model_name="m", kind="checkpoint")


def a_chip(vendor: str = "emulated", memory_bytes: int | None = None) -> AssignedChip:
    return AssignedChip(
        chip_id=ChipId("c"),
        key="k",
        vendor=vendor,
        type="t",
        index=0,
        milli=1000,
        memory_bytes=memory_bytes,
    )


def test_the_cache_holds_every_running_sequence_at_full_length_if_it_can() -> None:
    size = cache_size(CONFIG, 4, [], WORK)
    assert (size.num_pages, size.context) == (32 * 8, 128)


def test_a_small_chip_gives_a_quarter_of_its_memory() -> None:
    page_bytes = 256 * 4 * 16
    size = cache_size(CONFIG, 4, [a_chip(memory_bytes=4 * 100 * page_bytes)], WORK)
    assert size.num_pages == 100


def test_a_context_longer_than_the_cache_is_cut_to_it() -> None:
    long = replace(CONFIG, max_position_embeddings=10**6)
    work = WORK.model_copy(update={"cache_bytes": 256 * 4 * 16 * 20})
    assert cache_size(long, 4, [], work).context == 20 * 16


@pytest.mark.parametrize(
    "chips,device,backend",
    [
        ([], "cpu", "cpu"), ([a_chip()], "cpu", "cpu"), ([a_chip("nvidia")], "cuda", "cuda"),
        ([a_chip("amd")], "cuda", "rocm"), ([a_chip("ascend")], "npu", "cann"),
    ],
)  # fmt: skip
def test_device_and_backend_are_the_vendors(
    chips: list[AssignedChip], device: str, backend: str
) -> None:
    row = vendor_of(chips)
    assert (row.torch_device, row.backend) == (device, backend)


def test_a_checkpoint_is_known_by_its_shape_and_a_folder_by_its_name() -> None:
    model = Llama(CONFIG)
    shape = "i352,q4,k2,v1024,t128"
    decode, prefill = Phase.DECODE, Phase.PREFILL
    assert {phase: str(it) for phase, it in work_classes(WORK, model, 0).items()} == {
        prefill: f"serve/prefill/llama-2x128/fp32/{shape}/m1/b1",
        decode: f"serve/decode/llama-2x128/fp32/{shape}/m1/b8",
    }
    folder = WORK.model_copy(update={"kind": "huggingface", "model_uri": "/models/Tiny"})
    assert str(work_classes(folder, model, 2)[decode]) == f"serve/decode/tiny/fp32/{shape}/m2/b8"


@pytest.mark.parametrize(
    "change,reason",
    [
        ({"architectures": ["MambaForCausalLM"]}, "architecture"),
        ({"architectures": None}, "architecture"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"attention_bias": True}, "attention_bias"),
        ({"num_attention_heads": 3}, "num_attention_heads"),
        ({"vocab_size": "many"}, "many"),
        ({"num_hidden_layers": 10**9}, "absurd"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "yarn"),
    ],
)
def test_a_config_that_would_be_computed_wrongly_is_refused(
    change: dict[str, object], reason: str
) -> None:
    with pytest.raises(ModelRefused, match=reason):
        read_config({**config_to_hf(CONFIG), **change})


def test_a_missing_size_is_named() -> None:
    document = config_to_hf(CONFIG)
    del document["hidden_size"]
    with pytest.raises(ModelRefused, match="hidden_size is missing"):
        read_config(document)


def test_end_tokens_come_from_the_generation_config_first() -> None:
    documents: dict[str, dict[str, object]] = {
        "config.json": {"eos_token_id": 1, "bos_token_id": 5},
        "generation_config.json": {"eos_token_id": [2, 3]},
    }
    assert special_ids(documents) == {"eos_token_id": [2, 3], "bos_token_id": [5]}
