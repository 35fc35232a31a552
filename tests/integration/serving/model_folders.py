"""Writes small random models, as Hugging Face directories and as Penstock checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from penstock.api.specs import ModelShape
from workloads.checkpoints.files import Written, write_checkpoint
from workloads.checkpoints.manifest import DataPosition, Manifest
from workloads.models.config import LlamaConfig, config_of_shape, config_to_hf
from workloads.models.llama import Llama, init_weights

SHAPE = ModelShape(
    num_layers=2,
    hidden_size=64,
    num_heads=4,
    num_kv_heads=2,
    intermediate_size=96,
    vocab_size=320,
    max_seq_len=128,
)
TEXT = "def greet(name: str) -> str:\n    return f'hello {name}, naïve café 你好 🚀'\n"


def a_model(config: LlamaConfig, seed: int = 1) -> Llama:
    """Random weights, large enough that greedy text does not repeat one token for ever."""
    model = Llama(config)
    init_weights(model, seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(8.0)
    return model.requires_grad_(False).eval()


def tokenizer_document(vocab_size: int) -> str:
    """A byte-level BPE tokenizer with `<|endoftext|>` as token 0."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 4, trainer)
    return tokenizer.to_str()


def write_huggingface(
    folder: Path, config: LlamaConfig | None = None, num_shards: int = 1, **extra: Any
) -> Llama:
    """A Hugging Face directory; `extra` goes into config.json. The model that is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = config or config_of_shape(SHAPE)
    model = a_model(config)
    (folder / "config.json").write_text(json.dumps({**config_to_hf(config), **extra}))
    (folder / "tokenizer.json").write_text(tokenizer_document(config.vocab_size))
    _write_weights(folder, model.state_dict(), num_shards)
    return model


def write_penstock_checkpoint(folder: Path, config: LlamaConfig | None = None) -> Written:
    """A checkpoint exactly as training writes it."""
    config = config or config_of_shape(SHAPE)
    model = a_model(config)
    manifest = Manifest(
        step=7,
        epoch=1,
        job_id="job_0",
        files={},
        data=DataPosition(
            seed=0, next_step=7, batch_size=1, num_samples=1, dataset_sha256="0" * 64
        ),
        model=config_to_hf(config),
    )
    tokenizer = tokenizer_document(config.vocab_size).encode()
    optimizer = {"step": torch.zeros(1)}
    return write_checkpoint(str(folder), manifest, model.state_dict(), optimizer, tokenizer)


def greedy(model: Llama, prompt: list[int], num_tokens: int, eos: frozenset[int]) -> list[int]:
    """What the model says without any cache: the whole sequence runs again for every token."""
    tokens = list(prompt)
    with torch.no_grad():
        for _ in range(num_tokens):
            tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
            if tokens[-1] in eos:
                break
    return tokens[len(prompt) :]


def _write_weights(folder: Path, weights: dict[str, Tensor], num_shards: int) -> None:
    if num_shards == 1:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return
    names = sorted(weights)
    placed = {name: f"model-{n % num_shards + 1:05d}.safetensors" for n, name in enumerate(names)}
    for shard in sorted(set(placed.values())):
        part = {name: weights[name] for name in names if placed[name] == shard}
        save_file(part, folder / shard, {"format": "pt"})
    index = {"metadata": {}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
