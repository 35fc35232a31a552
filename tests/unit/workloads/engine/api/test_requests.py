"""Requests: what is taken, what is passed over, what is refused and how the refusal reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workloads.engine.api.errors import ApiError
from workloads.engine.api.requests import (
    HARMLESS,
    NEUTRAL,
    ChatRequest,
    CompletionRequest,
    parse_request,
)

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def completion(**fields: Any) -> CompletionRequest:
    document = {"model": "m", "prompt": "hi", **fields}
    return parse_request(json.dumps(document).encode(), CompletionRequest)


def chat(**fields: Any) -> ChatRequest:
    return parse_request(json.dumps({**CHAT, **fields}).encode(), ChatRequest)


def test_null_means_the_default() -> None:
    request = completion(temperature=None, stop=None, seed=None, stream_options=None)
    assert (request.temperature, request.stop, request.seed) == (1.0, [], None)


def test_one_stop_string_is_a_list_of_one() -> None:
    assert completion(stop="x").stop == ["x"]


@pytest.mark.parametrize(
    "prompt,expected", [("a", "a"), ([1, 2], [1, 2]), (["a"], "a"), ([[1, 2]], [1, 2])]
)
def test_a_prompt_is_text_or_tokens_perhaps_in_a_list_of_one(prompt: Any, expected: Any) -> None:
    assert completion(prompt=prompt).prompt == expected


def test_text_parts_of_a_message_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert chat(messages=[{"role": "user", "content": parts}]).messages[0].content == "ab"


RETURNED: dict[str, Any] = {
    "role": "assistant",
    "content": "hello",
    "refusal": None,
    "tool_calls": None,
    "function_call": None,
    "audio": None,
    "annotations": [],
    "reasoning_content": "it is polite",
}
CALL = {
    "id": "call_1",
    "type": "function",
    "index": 0,
    "function": {"name": "add", "arguments": '{"a": 1}'},
}


@pytest.mark.parametrize(
    "message,seen",
    [
        (RETURNED, {"role": "assistant", "content": "hello"}),
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
        ({"role": "assistant"}, {"role": "assistant", "content": ""}),
        (
            {"role": "assistant", "content": None, "refusal": "I may not."},
            {"role": "assistant", "content": "I may not."},
        ),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "assistant", "content": "no"},
        ),
        (
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "add", "arguments": {"a": 1}},
                    }
                ],
            },
        ),
        (
            {"role": "tool", "tool_call_id": "call_1", "content": "2", "extra": {"x": 1}},
            {"role": "tool", "tool_call_id": "call_1", "content": "2"},
        ),
        ({"role": "user", "content": "hi", "name": None}, {"role": "user", "content": "hi"}),
    ],
)
def test_what_servers_and_clients_write_comes_back_in(
    message: dict[str, Any], seen: dict[str, Any]
) -> None:
    ours = chat(messages=[{"role": "user", "content": "hi"}, message]).messages[1]
    assert ours.for_template() == seen


@pytest.mark.parametrize("message", [{"role": "user"}, {"role": "tool", "content": None}])
def test_who_speaks_for_themselves_says_something(message: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        chat(messages=[message])
    assert caught.value.param == "messages.0.content"


def test_a_call_whose_arguments_are_no_json_keeps_them() -> None:
    call = {**CALL, "function": {"name": "add", "arguments": "{half"}}
    (message,) = chat(messages=[{"role": "assistant", "tool_calls": [call]}]).messages
    assert message.for_template()["tool_calls"][0]["function"]["arguments"] == "{half"


def test_completions_default_to_sixteen_tokens_and_chats_to_none() -> None:
    assert (completion().wanted_tokens, completion().default_tokens) == (None, 16)
    assert (chat().wanted_tokens, chat().default_tokens) == (None, None)
    assert chat(max_tokens=5).wanted_tokens == 5
    assert chat(max_tokens=5, max_completion_tokens=7).wanted_tokens == 7


def test_chats_score_tokens_only_when_asked() -> None:
    assert chat(top_logprobs=3).num_logprobs is None
    assert chat(logprobs=True).num_logprobs == 0
    assert chat(logprobs=True, top_logprobs=3).num_logprobs == 3


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_parameters_that_change_no_result_are_passed_over(name: str) -> None:
    assert chat(**{name: "anything"}) == chat()


@pytest.mark.parametrize("name", sorted(NEUTRAL))
def test_unsupported_parameters_pass_at_their_neutral_value_only(name: str) -> None:
    for value in NEUTRAL[name]:
        assert chat(**{name: value}) == chat()
    with pytest.raises(ApiError) as caught:
        chat(**{name: {"something": "else"}})
    assert caught.value.document()["error"]["code"] == "unsupported_parameter"
    assert caught.value.param == name


@pytest.mark.parametrize(
    "fields,param",
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"seed": 2**64}, "seed"),
        ({"stop": ""}, "stop.0"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stop": 5}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, "b"]}, "prompt"),
        ({"prompt": [1.5]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"model": 5}, "model"),
        ({"logprobs": 21}, "logprobs"),
        ({"n": 2}, "n"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_parameter(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(ApiError) as caught:
        completion(**fields)
    assert caught.value.status == 400
    assert caught.value.param == param
    assert caught.value.document()["error"]["type"] == "invalid_request_error"


def test_an_unknown_parameter_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ApiError, match="Did you mean `temperature`") as caught:
        completion(temprature=1)
    assert caught.value.code == "unknown_parameter"


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(ApiError, match="Missing required parameter: `messages`"):
        parse_request(b'{"model": "m"}', ChatRequest)


def test_pictures_are_refused_where_they_stand() -> None:
    content = [{"type": "image_url", "image_url": {"url": "x"}}]
    with pytest.raises(ApiError, match="only parts of type `text`") as caught:
        chat(messages=[{"role": "user", "content": content}])
    assert caught.value.param == "messages.0.content"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b'{"a": NaN}', b"[" * 100_000, b'{"seed": ' + b"9" * 5000 + b"}"],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse_request(body, CompletionRequest)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")


def test_a_number_too_big_for_a_float_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        parse_request(b'{"model":"m","prompt":"a","temperature":1e999}', CompletionRequest)
    assert caught.value.param == "temperature"
