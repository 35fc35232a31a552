"""Model sizes, to and from Hugging Face's config.json."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.api.specs import ModelShape
from workloads.models.config import RopeScaling, config_from_hf, config_of_shape, config_to_hf

LLAMA_3_2: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
    "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
    "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "rope_scaling": {
        "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3",
    },
}  # fmt: skip


def test_a_trained_shape_survives_the_way_through_config_json() -> None:
    config = config_of_shape(ModelShape())
    assert config_from_hf(json.loads(json.dumps(config_to_hf(config)))) == config


def test_a_published_config_is_read_with_its_rope_scaling() -> None:
    config = config_from_hf(LLAMA_3_2)
    assert (config.num_key_value_heads, config.head_dim, config.rope_theta) == (8, 64, 500000.0)
    assert config.rope_scaling == RopeScaling(32.0, 1.0, 4.0, 8192)
    assert config_from_hf(config_to_hf(config)) == config


def test_rope_settings_of_newer_configs_are_read_from_their_own_section() -> None:
    newer = {key: value for key, value in LLAMA_3_2.items() if not key.startswith("rope")}
    newer["rope_parameters"] = {"rope_theta": 500000.0, **LLAMA_3_2["rope_scaling"]}
    assert config_from_hf(newer) == config_from_hf(LLAMA_3_2)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "mamba"}, "model_type is 'mamba', supported: 'llama'"),
        ({"attention_bias": True}, "attention_bias is not supported"),
        ({"rope_scaling": {"type": "yarn"}}, "rope scaling 'yarn' is not supported"),
        ({"num_key_value_heads": 5}, "num_attention_heads 32 is not a multiple"),
        ({"head_dim": 63}, "head_dim 63 is odd"),
    ],
)
def test_a_variant_that_would_be_computed_wrong_is_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        config_from_hf({**LLAMA_3_2, **change})


def test_heads_that_do_not_divide_the_hidden_size_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden_size 100 is not a multiple of num_heads 3"):
        config_of_shape(ModelShape(hidden_size=100, num_heads=3, num_kv_heads=3))
