"""One request inside the engine: its tokens, its limits and where it stands. No tensors, no text.

A sequence belongs to the engine's thread once it is submitted and is changed in place there:
it is the one object of the engine that is state rather than value.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import StrEnum


class FinishReason(StrEnum):
    """Why a sequence ended; the words of the OpenAI API, and vLLM's for the last two."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen and when to stop. Temperature 0 is greedy; `top_k` 0 means all."""

    max_tokens: int
    seed: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    num_logprobs: int | None = None


@dataclass(slots=True, eq=False)
class Sequence:
    """A prompt and what was generated after it. Times are seconds of the engine's clock."""

    id: str
    prompt: tuple[int, ...]
    params: SamplingParams
    arrived_at: float
    output: list[int] = field(default_factory=list)
    num_computed: int = 0
    """Tokens whose keys and values are in the cache."""
    started_at: float | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.params.seed)

    @property
    def num_tokens(self) -> int:
        return len(self.prompt) + len(self.output)

    @property
    def num_pending(self) -> int:
        """Tokens still to be run before the next one can be sampled: 1 while decoding."""
        return self.num_tokens - self.num_computed

    @property
    def most_tokens(self) -> int:
        """How long the sequence can get; the last token generated is never run."""
        return len(self.prompt) + self.params.max_tokens

    def tokens(self, start: int, count: int) -> list[int]:
        """`count` tokens of prompt and output from position `start` on."""
        if start >= len(self.prompt):
            first = start - len(self.prompt)
            return self.output[first : first + count]
        return [*self.prompt, *self.output][start : start + count]

    def finish_reason(self, eos: frozenset[int]) -> FinishReason | None:
        """Whether the last token ends the sequence; stop strings are the text's affair."""
        if not self.params.ignore_eos and self.output[-1] in eos:
            return FinishReason.STOP
        if len(self.output) >= self.params.max_tokens:
            return FinishReason.LENGTH
        return None


@dataclass(frozen=True, slots=True)
class Choice:
    """A sampled token; its log probability and the likeliest alternatives where asked for."""

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """What became known of a sequence: text, the token behind it, perhaps how it ended."""

    sequence_id: str
    text: str
    choice: Choice | None = None
    finish: FinishReason | None = None
