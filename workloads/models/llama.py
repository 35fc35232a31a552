"""A Llama-shaped decoder in plain torch; loading, training and sampling are others' work.

Parameter names equal Hugging Face's, so a state dict is a Hugging Face checkpoint.
Shapes in names: B sequences, T new tokens, S tokens attended to, C hidden size, H query heads,
K key/value heads, D head size, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workloads.models.config import LlamaConfig, RopeScaling


class KVCache(Protocol):
    """Where a serving engine keeps keys and values of earlier tokens."""

    def update(self, layer: int, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Stores the new tokens' rotated keys and values; returns those to attend to (B,K,S,D).

        Index s along S is position s of that sequence, the new tokens included. Beyond a
        sequence's own length anything finite may stand: it is masked by position.
        """


class Llama(nn.Module):
    """`LlamaForCausalLM`: tokens in, logits out."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def forward(
        self, tokens_BT: Tensor, positions_BT: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Logits (B,T,V). Without a cache, positions are 0..T-1 and attention is causal.

        With a cache, `positions_BT` says where each new token stands in its sequence.
        """
        return self.logits(self.hidden(tokens_BT, positions_BT, cache))

    def hidden(
        self, tokens_BT: Tensor, positions_BT: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """The last layer's normalised output (B,T,C): lets a caller unembed only some tokens."""
        hidden_BTC: Tensor = self.model(tokens_BT, positions_BT, cache)
        return hidden_BTC

    def logits(self, hidden_C: Tensor) -> Tensor:
        """Logits (…,V) of hidden states (…,C)."""
        return F.linear(hidden_C, self.unembedding())

    def unembedding(self) -> Tensor:
        """The (V,C) weight of the language-model head."""
        if self.config.tie_word_embeddings:
            return self.model.embed_tokens.weight
        return self.lm_head.weight


def init_weights(model: Llama, seed: int) -> None:
    """GPT-2's initialisation: normal of deviation 0.02, less for projections into the residual.

    Draws in the order of parameter names from a generator of its own, so the result depends on
    the shape and the seed only.
    """
    generator = torch.Generator().manual_seed(seed)
    residual_std = 0.02 / math.sqrt(2 * model.config.num_hidden_layers)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if weight.dim() == 1:
                weight.fill_(1.0)
                continue
            into_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            std = residual_std if into_residual else 0.02
            drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float32)
            weight.copy_(drawn * std)


class Decoder(nn.Module):
    """Embedding, layers, last norm."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            [DecoderLayer(config, index) for index in range(config.num_hidden_layers)]
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rope = Rope(config)

    def forward(
        self, tokens_BT: Tensor, positions_BT: Tensor | None, cache: KVCache | None
    ) -> Tensor:
        x_BTC = self.embed_tokens(tokens_BT)
        rotation = self.rope.rotation(tokens_BT.shape[1], positions_BT, x_BTC)
        for layer in self.layers:
            x_BTC = layer(x_BTC, rotation, positions_BT, cache)
        normed_BTC: Tensor = self.norm(x_BTC)
        return normed_BTC


class DecoderLayer(nn.Module):
    """Attention, then the feed-forward network, each behind a norm and around a residual."""

    def __init__(self, config: LlamaConfig, index: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, index)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = FeedForward(config)

    def forward(
        self,
        x_BTC: Tensor,
        rotation: tuple[Tensor, Tensor],
        positions_BT: Tensor | None,
        cache: KVCache | None,
    ) -> Tensor:
        attended_BTC = self.self_attn(self.input_layernorm(x_BTC), rotation, positions_BT, cache)
        x_BTC = x_BTC + attended_BTC
        out_BTC: Tensor = x_BTC + self.mlp(self.post_attention_layernorm(x_BTC))
        return out_BTC


class Attention(nn.Module):
    """Causal attention with grouped key/value heads (GQA, arXiv 2305.13245)."""

    def __init__(self, config: LlamaConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.head_dim = config.head_dim
        self.group = config.num_attention_heads // config.num_key_value_heads
        q_size = config.num_attention_heads * config.head_dim
        kv_size = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, q_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, kv_size, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, kv_size, bias=False)
        self.o_proj = nn.Linear(q_size, config.hidden_size, bias=False)

    def forward(
        self,
        x_BTC: Tensor,
        rotation: tuple[Tensor, Tensor],
        positions_BT: Tensor | None,
        cache: KVCache | None,
    ) -> Tensor:
        q_BHTD = rotate(self._heads(self.q_proj(x_BTC)), rotation)
        k_BKSD = rotate(self._heads(self.k_proj(x_BTC)), rotation)
        v_BKSD = self._heads(self.v_proj(x_BTC))
        mask = None
        if cache is not None:
            k_BKSD, v_BKSD = cache.update(self.index, k_BKSD, v_BKSD)
        if positions_BT is not None:
            mask = causal_mask(positions_BT, k_BKSD.shape[2])
        if self.group > 1:
            k_BKSD = k_BKSD.repeat_interleave(self.group, dim=1)
            v_BKSD = v_BKSD.repeat_interleave(self.group, dim=1)
        out_BHTD = F.scaled_dot_product_attention(
            q_BHTD, k_BKSD, v_BKSD, attn_mask=mask, is_causal=mask is None
        )
        out_BTC: Tensor = self.o_proj(out_BHTD.transpose(1, 2).flatten(2))
        return out_BTC

    def _heads(self, x_BTC: Tensor) -> Tensor:
        num_sequences, num_tokens, _ = x_BTC.shape
        return x_BTC.view(num_sequences, num_tokens, -1, self.head_dim).transpose(1, 2)


class FeedForward(nn.Module):
    """SwiGLU (arXiv 2002.05202)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x_BTC: Tensor) -> Tensor:
        out_BTC: Tensor = self.down_proj(F.silu(self.gate_proj(x_BTC)) * self.up_proj(x_BTC))
        return out_BTC


class RMSNorm(nn.Module):
    """Scales by the root of the mean square (arXiv 1910.07467)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x_BTC: Tensor) -> Tensor:
        return F.rms_norm(x_BTC, self.weight.shape, self.weight, self.eps)


class Rope:
    """Rotary position embedding (arXiv 2104.09864) in Llama's half-split layout.

    No buffers, so nothing of it is in a state dict and a model may be built on `meta`.
    """

    def __init__(self, config: LlamaConfig) -> None:
        self._config = config
        self._tables: dict[tuple[torch.device, torch.dtype, int], tuple[Tensor, Tensor]] = {}

    def rotation(
        self, num_tokens: int, positions_BT: Tensor | None, like: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cosines and sines, broadcastable to (B,H,T,D), of the device and dtype of `like`."""
        if positions_BT is None:
            cos_SD, sin_SD = self._table(num_tokens, like)
            return cos_SD[:num_tokens], sin_SD[:num_tokens]
        cos_SD, sin_SD = self._table(self._config.max_position_embeddings, like)
        return cos_SD[positions_BT][:, None], sin_SD[positions_BT][:, None]

    def _table(self, num_positions: int, like: Tensor) -> tuple[Tensor, Tensor]:
        size = max(num_positions, self._config.max_position_embeddings)
        key = (like.device, like.dtype, size)
        if key not in self._tables:
            exact = torch.float64 if like.dtype == torch.float64 else torch.float32
            frequencies_D = self._frequencies(exact).to(like.device)
            positions_S = torch.arange(size, dtype=exact, device=like.device)
            angles_SD = torch.outer(positions_S, frequencies_D).repeat(1, 2)
            self._tables[key] = angles_SD.cos().to(like.dtype), angles_SD.sin().to(like.dtype)
        return self._tables[key]

    def _frequencies(self, dtype: torch.dtype) -> Tensor:
        size = self._config.head_dim
        exponents_D = torch.arange(0, size, 2, dtype=dtype) / size
        frequencies_D = self._config.rope_theta**-exponents_D
        scaling = self._config.rope_scaling
        return frequencies_D if scaling is None else _stretched(frequencies_D, scaling)


def rotate(x_BHTD: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turns each pair (i, i + D/2) by its position's angle."""
    cos, sin = rotation
    first, second = x_BHTD.chunk(2, dim=-1)
    return x_BHTD * cos + torch.cat((-second, first), dim=-1) * sin


def causal_mask(positions_BT: Tensor, num_keys: int) -> Tensor:
    """(B,1,T,S), true where key position s is at or before the query's position."""
    keys_S = torch.arange(num_keys, device=positions_BT.device)
    return (keys_S <= positions_BT[..., None])[:, None]


def _stretched(frequencies_D: Tensor, scaling: RopeScaling) -> Tensor:
    """Llama 3.1's rule: long waves are slowed by `factor`, short ones kept, between blended."""
    turns_D = scaling.original_max_position_embeddings * frequencies_D / (2 * math.pi)
    span = scaling.high_freq_factor - scaling.low_freq_factor
    keep_D = ((turns_D - scaling.low_freq_factor) / span).clamp(0.0, 1.0)
    return keep_D * frequencies_D + (1 - keep_D) * frequencies_D / scaling.factor
