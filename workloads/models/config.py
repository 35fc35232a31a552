"""What defines a Llama-shaped model, to and from Hugging Face's `config.json`. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.api.specs import ModelShape
from penstock.api.work import ModelSize
from penstock.json_types import JsonView


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """The `llama3` stretching of rotary frequencies (Llama 3.1 and later)."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """Sizes and constants of one model. Field names are Hugging Face's."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None
    tie_word_embeddings: bool = True

    def __post_init__(self) -> None:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} is odd: rotary embedding needs pairs")


def config_of_shape(shape: ModelShape) -> LlamaConfig:
    """The model that a training spec asks for; raises ValueError where its sizes do not fit."""
    if shape.hidden_size % shape.num_heads:
        raise ValueError(
            f"hidden_size {shape.hidden_size} is not a multiple of num_heads {shape.num_heads}"
        )
    return LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        head_dim=shape.hidden_size // shape.num_heads,
        max_position_embeddings=shape.max_seq_len,
    )


def size_of(config: LlamaConfig) -> ModelSize:
    """What the model's speeds are filed under."""
    return ModelSize(
        num_layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        vocab_size=config.vocab_size,
        max_seq_len=config.max_position_embeddings,
    )


def config_from_hf(document: JsonView) -> LlamaConfig:
    """Reads `config.json`; raises ValueError for an architecture or a variant not supported."""
    if (kind := document.get("model_type")) != "llama":
        raise ValueError(f"config.json: model_type is {kind!r}, supported: 'llama'")
    for flag in ("attention_bias", "mlp_bias"):
        if document.get(flag):
            raise ValueError(f"config.json: {flag} is not supported")
    heads = int(document["num_attention_heads"])
    hidden = int(document["hidden_size"])
    rope = document.get("rope_parameters") or {}
    return LlamaConfig(
        vocab_size=int(document["vocab_size"]),
        hidden_size=hidden,
        intermediate_size=int(document["intermediate_size"]),
        num_hidden_layers=int(document["num_hidden_layers"]),
        num_attention_heads=heads,
        num_key_value_heads=int(document.get("num_key_value_heads") or heads),
        head_dim=int(document.get("head_dim") or hidden // heads),
        max_position_embeddings=int(document.get("max_position_embeddings", 2048)),
        rms_norm_eps=float(document.get("rms_norm_eps", 1e-6)),
        rope_theta=float(document.get("rope_theta") or rope.get("rope_theta") or 10000.0),
        rope_scaling=_rope_scaling(document.get("rope_scaling") or rope),
        tie_word_embeddings=bool(document.get("tie_word_embeddings", False)),
    )


def config_to_hf(config: LlamaConfig) -> dict[str, object]:
    """The `config.json` document that Hugging Face's Llama classes read."""
    document: dict[str, object] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "float32",
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    for name in LlamaConfig.__dataclass_fields__:
        document[name] = getattr(config, name)
    if config.rope_scaling is not None:
        fields = RopeScaling.__dataclass_fields__
        scaling = {name: getattr(config.rope_scaling, name) for name in fields}
        document["rope_scaling"] = {"rope_type": "llama3", **scaling}
    return document


def _rope_scaling(document: JsonView) -> RopeScaling | None:
    kind = document.get("rope_type") or document.get("type") or "default"
    if kind == "default":
        return None
    if kind != "llama3":
        raise ValueError(f"config.json: rope scaling {kind!r} is not supported, only 'llama3'")
    return RopeScaling(
        factor=float(document["factor"]),
        low_freq_factor=float(document["low_freq_factor"]),
        high_freq_factor=float(document["high_freq_factor"]),
        original_max_position_embeddings=int(document["original_max_position_embeddings"]),
    )
