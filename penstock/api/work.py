"""Classes of work, by which speeds are measured and looked up, and what a token of one costs.

Trainer and engine report speeds by class; the planner looks them up by the class of a job that
waits. A class is one word on the wire and in the database: `train/train/llama-2x128/fp32/…`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from penstock.json_types import JsonView

DECODE_BATCH: Final = 8
"""Sequences in the step whose decoding speed is compared; prefill is compared one at a time."""
TRAIN_DTYPE: Final = "fp32"
_BYTES: Final[Mapping[str, int]] = {"fp64": 8, "fp32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1}
_NUM_PARTS: Final = 7
_OPEN: Final = "-"


class Phase(StrEnum):
    """What bounds the speed differs between them: compute in the first two, memory in the last."""

    TRAIN = "train"
    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(frozen=True, slots=True)
class WorkClass:
    """Work of one class runs at one speed on one chip type. Empty fields and zeros: not known."""

    kind: str
    """Type of the job: train or serve."""
    phase: Phase
    model: str
    dtype: str = ""
    configuration: str = ""
    """The rest of the model's shape, as `ModelSize.configuration` spells it."""
    members: int = 0
    """Chips that work on it together."""
    batch: int = 0
    """Sequences that are worked on at once, rounded down to a power of two."""

    def __str__(self) -> str:
        words = (self.kind, self.phase.value, self.model, self.dtype, self.configuration)
        return "/".join([word or _OPEN for word in words] + [f"m{self.members}", f"b{self.batch}"])

    def distance(self, other: WorkClass) -> tuple[object, ...] | None:
        """How far a speed of `other` is from this one's, least first; None: it says nothing."""
        if (self.kind, self.phase, self.model) != (other.kind, other.phase, other.model):
            return None
        if self.dtype and other.dtype and self.dtype != other.dtype:
            return None
        return (
            self.configuration != other.configuration,
            self.dtype != other.dtype,
            _octaves(self.batch, other.batch),
            _octaves(self.members, other.members),
            str(other),
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """What a token costs at least: floating-point operations and bytes of device memory."""

    flops: float
    bytes: float


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The numbers of a Llama-shaped decoder that its cost follows from."""

    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    vocab_size: int
    max_seq_len: int

    @classmethod
    def of(cls, document: JsonView) -> ModelSize:
        """From the fields of `penstock.api.specs.ModelShape`."""
        return cls(**{name: document[name] for name in cls.__slots__})

    @property
    def name(self) -> str:
        return f"llama-{self.num_layers}x{self.hidden_size}"

    @property
    def configuration(self) -> str:
        return (
            f"i{self.intermediate_size},q{self.num_heads},k{self.num_kv_heads},"
            f"v{self.vocab_size},t{self.max_seq_len}"
        )

    def cost(self, work: WorkClass) -> Cost:
        """Of one token in sequences that are half full on average. Memory traffic is that of
        weights, their gradients, keys and values; activations are left out.
        """
        kv_size = self.hidden_size * self.num_kv_heads // self.num_heads
        per_layer = self.hidden_size * (2 * self.hidden_size + 2 * kv_size)
        per_layer += 3 * self.hidden_size * self.intermediate_size
        num_weights = self.num_layers * per_layer + self.vocab_size * self.hidden_size
        context = self.max_seq_len / 2
        attention = 4 * self.num_layers * self.hidden_size * context
        forward = 2.0 * num_weights + attention
        itemsize, batch = _BYTES.get(work.dtype, 4), max(1, work.batch)
        token_bytes = 2.0 * self.num_layers * kv_size * itemsize
        match work.phase:
            case Phase.TRAIN:  # read forward and backward, gradients read and written
                weights = 4 * num_weights * itemsize / (batch * self.max_seq_len)
                return Cost(3 * forward, weights + 2 * token_bytes)
            case Phase.PREFILL:
                return Cost(forward, num_weights * itemsize / (batch * context) + token_bytes)
            case Phase.DECODE:
                return Cost(forward, num_weights * itemsize / batch + token_bytes * context)


def train_class(size: ModelSize, batch_size: int, micro_batch: int, members: int) -> WorkClass:
    """Of a training job with so many ranks."""
    per_pass = min(micro_batch, -(-batch_size // max(1, members)))
    return WorkClass(
        "train", Phase.TRAIN, size.name, TRAIN_DTYPE, size.configuration, members, bucket(per_pass)
    )


def serve_class(
    phase: Phase, model: str, members: int, dtype: str = "", size: ModelSize | None = None
) -> WorkClass:
    """Of a serving replica over so many chips; its model by `ModelSize.name` or `folder_name`."""
    configuration = "" if size is None else size.configuration
    batch = DECODE_BATCH if phase is Phase.DECODE else 1
    return WorkClass("serve", phase, model, dtype, configuration, members, batch)


def folder_name(uri: str) -> str:
    """What a model is called of which only the folder is known."""
    last = uri.rstrip("/").rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9._-]+", "-", last)[:40] or "model"


def bucket(number: int) -> int:
    """The largest power of two that is not more."""
    return 1 << max(1, number).bit_length() - 1


@lru_cache(maxsize=4096)
def parse_work_class(text: str) -> WorkClass | None:
    """The class of a word; None where it is none. `kind/model` is how it was spelt before."""
    parts = ["" if part == _OPEN else part for part in text.split("/")]
    if len(parts) == 2 and all(parts):
        phase = Phase.TRAIN if parts[0] == "train" else Phase.DECODE
        return WorkClass(parts[0], phase, parts[1])
    counts = [
        re.fullmatch(pattern, part)
        for pattern, part in zip((r"m(\d{1,9})", r"b(\d{1,9})"), parts[5:], strict=False)
    ]
    if len(parts) != _NUM_PARTS or parts[1] not in set(Phase) or not all(counts):
        return None
    members, batch = (int(found[1]) for found in counts if found)
    return WorkClass(parts[0], Phase(parts[1]), parts[2], parts[3], parts[4], members, batch)


def _octaves(one: int, other: int) -> float:
    return abs(math.log2(max(1, one)) - math.log2(max(1, other)))
