"""Replies: OpenAI's documents, whole and in pieces, agree with each other."""

from __future__ import annotations

from workloads.engine.api.replies import ReplyHead
from workloads.engine.sequence import Choice, FinishReason, Piece

PIECES = [
    Piece("s", "He", Choice(1, -0.5, ((1, -0.5), (2, -1.5)))),
    Piece("s", "", Choice(2, -0.25)),
    Piece("s", "llo", Choice(3, -0.125), FinishReason.STOP),
]


def a_head(is_chat: bool, logprobs: bool = False) -> ReplyHead:
    def text(token: int) -> str:
        return f"t{token}"

    return ReplyHead(
        "s", 7, "m", "f" * 16, is_chat, 5, text, lambda it: list(text(it).encode()), logprobs
    )


def test_a_whole_completion_carries_text_usage_and_fingerprint() -> None:
    document = a_head(is_chat=False).whole(PIECES)
    assert document["object"] == "text_completion"
    assert document["choices"] == [
        {"index": 0, "finish_reason": "stop", "text": "Hello", "logprobs": None}
    ]
    assert document["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    assert document["system_fingerprint"] == "f" * 16


def test_a_whole_chat_answers_as_the_assistant() -> None:
    [choice] = a_head(is_chat=True).whole(PIECES)["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello", "refusal": None}


def test_a_streamed_chat_opens_with_the_role_and_adds_up_to_the_text() -> None:
    head = a_head(is_chat=True)
    first = head.first()
    assert first is not None
    assert first["choices"][0]["delta"]["role"] == "assistant"
    deltas = [head.part(piece)["choices"][0] for piece in PIECES]
    assert "".join(choice["delta"].get("content", "") for choice in deltas) == "Hello"
    assert [choice["finish_reason"] for choice in deltas] == [None, None, "stop"]


def test_a_streamed_completion_has_no_opening() -> None:
    assert a_head(is_chat=False).first() is None


def test_the_usage_event_has_no_choices() -> None:
    document = a_head(is_chat=True).last(3)
    assert document["choices"] == []
    assert document["usage"]["completion_tokens"] == 3


def test_scores_of_a_chat_name_tokens_and_bytes() -> None:
    [choice] = a_head(is_chat=True, logprobs=True).whole(PIECES)["choices"]
    first = choice["logprobs"]["content"][0]
    assert (first["token"], first["logprob"], first["bytes"]) == ("t1", -0.5, [116, 49])
    assert [item["token"] for item in first["top_logprobs"]] == ["t1", "t2"]


def test_scores_of_a_completion_are_columns() -> None:
    [choice] = a_head(is_chat=False, logprobs=True).whole(PIECES)["choices"]
    assert choice["logprobs"]["tokens"] == ["t1", "t2", "t3"]
    assert choice["logprobs"]["token_logprobs"] == [-0.5, -0.25, -0.125]
    assert choice["logprobs"]["top_logprobs"][0] == {"t1": -0.5, "t2": -1.5}
