"""The documents that answer a request, whole or piece by piece, as OpenAI writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from workloads.engine.api.errors import Document
from workloads.engine.sequence import Choice, Piece


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """What every document of one answer repeats."""

    id: str
    created: int
    model: str
    fingerprint: str | None
    is_chat: bool
    num_prompt: int
    token_text: Callable[[int], str]
    token_bytes: Callable[[int], list[int] | None]
    logprobs: bool

    def whole(self, pieces: Iterable[Piece]) -> Document:
        """The answer to a request without `stream`."""
        pieces = list(pieces)
        text = "".join(piece.text for piece in pieces)
        choice: Document = {"index": 0, "finish_reason": pieces[-1].finish}
        if self.is_chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            choice["text"] = text
        choice["logprobs"] = self._logprobs(pieces)
        kind = "chat.completion" if self.is_chat else "text_completion"
        return {**self._head(kind), "choices": [choice], "usage": self.usage(len(pieces))}

    def first(self) -> Document | None:
        """What a stream opens with: a chat's names the role."""
        delta = {"role": "assistant", "content": ""}
        return self._chunk({"delta": delta}, None, None) if self.is_chat else None

    def part(self, piece: Piece) -> Document:
        """One event of a stream."""
        body: Document = {"text": piece.text}
        if self.is_chat:
            body = {"delta": {"content": piece.text} if piece.text else {}}
        return self._chunk(body, piece.finish, self._logprobs([piece]))

    def last(self, num_output: int) -> Document:
        """The event with the usage, sent where `include_usage` asked for it."""
        chunk = self._chunk({}, None, None)
        return {**chunk, "choices": [], "usage": self.usage(num_output)}

    def usage(self, num_output: int) -> dict[str, int]:
        return {
            "prompt_tokens": self.num_prompt,
            "completion_tokens": num_output,
            "total_tokens": self.num_prompt + num_output,
        }

    def _chunk(self, body: Document, finish: str | None, logprobs: object) -> Document:
        kind = "chat.completion.chunk" if self.is_chat else "text_completion"
        choice = {"index": 0, **body, "logprobs": logprobs, "finish_reason": finish}
        return {**self._head(kind), "choices": [choice]}

    def _head(self, kind: str) -> Document:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }

    def _logprobs(self, pieces: list[Piece]) -> Document | None:
        if not self.logprobs:
            return None
        choices = [piece.choice for piece in pieces if piece.choice is not None]
        return self._chat_logprobs(choices) if self.is_chat else self._text_logprobs(choices)

    def _chat_logprobs(self, choices: list[Choice]) -> Document:
        entries = [
            {
                **self._scored(choice.token, choice.logprob),
                "top_logprobs": [self._scored(*pair) for pair in choice.top],
            }
            for choice in choices
        ]
        return {"content": entries, "refusal": None}

    def _text_logprobs(self, choices: list[Choice]) -> Document:
        top = [{self.token_text(token): value for token, value in item.top} for item in choices]
        return {
            "tokens": [self.token_text(choice.token) for choice in choices],
            "token_logprobs": [choice.logprob for choice in choices],
            "top_logprobs": top,
            "text_offset": None,
        }

    def _scored(self, token: int, logprob: float | None) -> Document:
        text, exact = self.token_text(token), self.token_bytes(token)
        return {"token": text, "logprob": logprob, "bytes": exact}
