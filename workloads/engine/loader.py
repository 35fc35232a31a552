"""Builds the model that is served out of verified files: weights, tokenizer, special tokens.

Which files may be read is `model_files.py`'s rule; the shape of a Llama is `models/`'.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.overrides import TorchFunctionMode

from penstock.json_types import JsonView
from workloads.checkpoints.model_files import ModelFiles, ModelRefused, ModelUnreachable, open_model
from workloads.engine.options import ServeWork
from workloads.engine.text.tokenizer import TextTokenizer, load_tokenizer
from workloads.failures import os_error_message
from workloads.models.config import LlamaConfig, config_from_hf
from workloads.models.llama import Llama

ARCHITECTURES: Final = ("LlamaForCausalLM",)
MOST_LAYERS: Final = 1024
IGNORED_SUFFIX: Final = "rotary_emb.inv_freq"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to run. `num_parameters` counts tied weights once."""

    model: Llama
    tokenizer: TextTokenizer
    eos: frozenset[int]
    bos: int | None
    manifest_sha256: str | None
    num_parameters: int


def load_model(work: ServeWork, device: str) -> LoadedModel:
    """Loads what `work` names onto the torch device; raises ModelRefused with the reason."""
    try:
        return _load(work, device)
    except OSError as error:
        raise ModelUnreachable(
            f"{work.model_uri} cannot be read: {os_error_message(error)}"
        ) from error


def _load(work: ServeWork, device: str) -> LoadedModel:
    with open_model(work.model_uri, work.kind, work.manifest_sha256) as files:
        config = read_config(files.documents["config.json"])
        tokenizer = load_tokenizer(files)
        if tokenizer.num_tokens > config.vocab_size:
            raise ModelRefused(
                f"tokenizer.json knows {tokenizer.num_tokens} tokens, "
                f"the model only {config.vocab_size}"
            )
        model = _build(config, _read_weights(files), device)
    ids = special_ids(files.documents)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        eos=frozenset(ids["eos_token_id"]),
        bos=next(iter(ids["bos_token_id"]), None),
        manifest_sha256=files.manifest_sha256,
        num_parameters=sum(weight.numel() for weight in model.parameters()),
    )


def read_config(document: JsonView) -> LlamaConfig:
    """The model's shape; raises ModelRefused for what this engine would compute wrongly."""
    architectures = document.get("architectures") or []
    if list(architectures) not in [[name] for name in ARCHITECTURES]:
        raise ModelRefused(
            f"config.json: architecture {architectures} is not supported, "
            f"only {', '.join(ARCHITECTURES)}"
        )
    if (act := document.get("hidden_act", "silu")) != "silu":
        raise ModelRefused(f"config.json: hidden_act {act!r} is not supported, only 'silu'")
    if document.get("quantization_config"):
        raise ModelRefused("config.json: quantised weights (quantization_config) are not supported")
    try:
        config = config_from_hf(document)
    except KeyError as error:
        raise ModelRefused(f"config.json: {error.args[0]} is missing") from error
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelRefused(f"config.json: {str(error).removeprefix('config.json: ')}") from error
    if not 0 < config.num_hidden_layers <= MOST_LAYERS:
        raise ModelRefused(f"config.json: num_hidden_layers {config.num_hidden_layers} is absurd")
    return config


def special_ids(documents: Mapping[str, JsonView]) -> dict[str, list[int]]:
    """`eos_token_id` and `bos_token_id` as lists; generation_config.json goes first."""
    found = {}
    for key in ("eos_token_id", "bos_token_id"):
        value = documents["generation_config.json"].get(key, documents["config.json"].get(key))
        values = value if isinstance(value, list) else [value]
        found[key] = [item for item in values if isinstance(item, int)]
    return found


def limit_context(model: Llama, num_tokens: int) -> None:
    """Serves at most this many positions, so that no table is built for more."""
    config = replace(model.config, max_position_embeddings=num_tokens)
    model.config = config
    model.model.rope = type(model.model.rope)(config)


def _build(config: LlamaConfig, weights: Iterator[tuple[str, Tensor]], device: str) -> Llama:
    with _NoInit(), torch.device("meta"):
        model = Llama(config)
    expected = model.state_dict()
    state = {name: tensor.to(device) for name, tensor in _accepted(weights, expected)}
    if missing := sorted(expected.keys() - state.keys()):
        raise ModelRefused(f"weights are missing: {_some(missing)}")
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(False).eval()


class _NoInit(TorchFunctionMode):
    """Skips the initialisers: weights are read, and even on `meta` they cost a second of CPU."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        named = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def _accepted(
    weights: Iterator[tuple[str, Tensor]], expected: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    tied = "lm_head.weight" not in expected
    for name, tensor in weights:
        if name.endswith(IGNORED_SUFFIX) or (tied and name == "lm_head.weight"):
            continue
        if name not in expected:
            raise ModelRefused(f"weight {name} is not part of a {ARCHITECTURES[0]}")
        if tensor.shape != expected[name].shape:
            raise ModelRefused(
                f"weight {name} has shape {list(tensor.shape)}, "
                f"config.json says {list(expected[name].shape)}"
            )
        yield name, tensor


def _read_weights(files: ModelFiles) -> Iterator[tuple[str, Tensor]]:
    return itertools.chain.from_iterable(_read_shard(path) for path in files.weights)


def _read_shard(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Copies: a file changed later must not change, or take away, the weights."""
    path.open("rb").close()  # safe_open calls every refusal a missing file
    try:
        with safe_open(path, framework="pt") as shard:
            for name in shard.keys():  # noqa: SIM118 - not a mapping
                yield name, _served(path, name, shard.get_tensor(name))
    except SafetensorError as error:
        raise ModelRefused(f"{path.name}: damaged or truncated: {error}") from error


def _served(path: Path, name: str, tensor: Tensor) -> Tensor:
    """bf16 stays as it is; other floats are computed in fp32, as every chip can."""
    if not tensor.dtype.is_floating_point or tensor.dtype.itemsize < 2:
        raise ModelRefused(f"{path.name}: {name} is {tensor.dtype}: quantised, not supported")
    dtype = torch.bfloat16 if tensor.dtype == torch.bfloat16 else torch.float32
    return tensor.to(dtype, copy=True)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
