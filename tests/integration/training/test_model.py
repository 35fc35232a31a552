"""The decoder, its initialisation, the flat rows under it, and the optimizer."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from penstock.api.specs import ModelShape
from tests.integration.training.gradient_case import SHAPE, new_model
from workloads.models.config import LlamaConfig, RopeScaling, config_of_shape
from workloads.models.llama import Llama, init_weights
from workloads.training.gradients import accumulate
from workloads.training.optimizer import AdamW, Hyper, learning_rate
from workloads.training.parallel.flat import FlatParameters

pytestmark = pytest.mark.integration


class _Grows:
    """The simplest cache: keys and values are kept one after another."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def update(self, layer: int, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        if layer in self._kept:
            k_BKSD, v_BKSD = self._kept[layer]
            k_BKTD, v_BKTD = torch.cat((k_BKSD, k_BKTD), 2), torch.cat((v_BKSD, v_BKTD), 2)
        self._kept[layer] = (k_BKTD, v_BKTD)
        return k_BKTD, v_BKTD


def test_token_by_token_with_a_cache_the_logits_are_those_of_the_whole() -> None:
    model = new_model()
    tokens_BT = torch.arange(32).view(2, 16) * 7 % SHAPE.vocab_size
    whole_BTV = model(tokens_BT)
    cache = _Grows()
    for start, stop in ((0, 9), (9, 10), (10, 16)):
        positions_BT = torch.arange(start, stop).expand(2, -1)
        part_BTV = model(tokens_BT[:, start:stop], positions_BT, cache)
        assert torch.allclose(part_BTV, whole_BTV[:, start:stop], rtol=0, atol=1e-12)


def test_a_token_does_not_see_those_after_it() -> None:
    model = new_model()
    tokens_BT = torch.zeros((1, 16), dtype=torch.long)
    changed_BT = tokens_BT.clone()
    changed_BT[0, 10] = 5
    difference_BTV = (model(tokens_BT) - model(changed_BT)).detach()
    difference_T = difference_BTV.abs().amax(dim=(0, 2))
    assert float(difference_T[:10].max()) == 0.0
    assert float(difference_T[10:].min()) > 0.0


def test_parameter_names_are_hugging_faces() -> None:
    tied = Llama(config_of_shape(ModelShape(num_layers=1)))
    layer = "model.layers.0."
    assert sorted(tied.state_dict()) == sorted(
        [
            "model.embed_tokens.weight",
            "model.norm.weight",
            layer + "input_layernorm.weight",
            layer + "post_attention_layernorm.weight",
            *(f"{layer}self_attn.{one}_proj.weight" for one in "qkvo"),
            *(f"{layer}mlp.{one}_proj.weight" for one in ("gate", "up", "down")),
        ]
    )


def test_an_untied_head_is_a_parameter_of_its_own() -> None:
    shape = ModelShape.model_validate(json.loads(SHAPE.model_dump_json()))
    tied = config_of_shape(shape)
    fields = {name: getattr(tied, name) for name in LlamaConfig.__dataclass_fields__}
    untied = Llama(LlamaConfig(**{**fields, "tie_word_embeddings": False}))
    assert "lm_head.weight" in untied.state_dict()


def test_stretched_rope_keeps_short_waves_and_slows_long_ones() -> None:
    fields = {name: getattr(_config(), name) for name in LlamaConfig.__dataclass_fields__}
    scaling = RopeScaling(8.0, 1.0, 4.0, 64)
    stretched = LlamaConfig(**{**fields, "rope_scaling": scaling})
    like = torch.zeros(1, dtype=torch.float64)
    plain_SD = Llama(_config()).model.rope.rotation(2, None, like)[1].asin()[1]
    slowed_SD = Llama(stretched).model.rope.rotation(2, None, like)[1].asin()[1]
    half = _config().head_dim // 2
    assert torch.allclose(slowed_SD[0], plain_SD[0], rtol=1e-12)
    assert torch.allclose(slowed_SD[half - 1], plain_SD[half - 1] / 8.0, rtol=1e-9)


def test_initial_weights_depend_on_shape_and_seed_only() -> None:
    torch.manual_seed(1)
    one = Llama(config_of_shape(SHAPE))
    torch.manual_seed(2)
    other = Llama(config_of_shape(SHAPE))
    init_weights(one, seed=4)
    init_weights(other, seed=4)
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name


def test_adamw_on_flat_rows_is_torchs() -> None:
    ours, theirs = new_model(), new_model()
    flat = FlatParameters(ours, num_tail=3)
    hyper = Hyper(clip_norm=1e9)
    optimizer = AdamW(flat.values_N, flat.num_decayed, hyper)
    matrices = [p for p in theirs.parameters() if p.dim() >= 2]
    vectors = [p for p in theirs.parameters() if p.dim() < 2]
    reference = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=1e-2,
        betas=(hyper.beta1, hyper.beta2),
        eps=hyper.eps,
    )
    for step in range(3):
        rows_BT = torch.arange(34).view(2, 17) * (step + 3) % SHAPE.vocab_size
        flat.sums.zero_()
        theirs.zero_grad()
        accumulate(ours, rows_BT, (1, 1))
        accumulate(theirs, rows_BT, (2,))
        optimizer.step(flat.grads_N, step, 1e-2)
        reference.step()
    for name, weight in theirs.named_parameters():
        assert torch.allclose(ours.state_dict()[name], weight, rtol=1e-9, atol=1e-12), name


def test_a_gradient_over_the_clip_norm_is_shortened() -> None:
    values_N, grads_N = torch.zeros(4), torch.full((4,), 10.0)
    norm = AdamW(values_N, 0).step(grads_N, 0, 1e-3)
    assert norm == 20.0
    assert float(grads_N.norm()) == pytest.approx(1.0)


def test_the_learning_rate_rises_then_falls_to_a_tenth() -> None:
    rates = [learning_rate(step, 200, 1.0) for step in range(200)]
    assert rates[0] == pytest.approx(0.05)
    assert max(rates) == rates[19] == 1.0
    assert rates[19:] == sorted(rates[19:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def _config() -> LlamaConfig:
    return config_of_shape(ModelShape(hidden_size=128, num_heads=2, max_seq_len=64))
