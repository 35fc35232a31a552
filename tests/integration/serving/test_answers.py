"""A real replica over HTTP: what it answers, whole and streamed, and how it refuses."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from tokenizers import Tokenizer

from penstock.api.work import Phase, parse_work_class
from tests.integration.serving.conftest import LongCheckpoint
from tests.integration.serving.model_folders import greedy
from tests.integration.serving.replica import Replica, stream_events

pytestmark = pytest.mark.integration
PROMPT = "def greet(name"
GREEDY: dict[str, Any] = {"model": "tiny", "prompt": PROMPT, "temperature": 0, "max_tokens": 24}


def post(replica: Replica, path: str = "/v1/completions", **fields: Any) -> httpx.Response:
    with replica.client() as client:
        return client.post(path, json=fields)


def text_of(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["text"])


def streamed(replica: Replica, path: str = "/v1/completions", **fields: Any) -> list[Any]:
    with (
        replica.client() as client,
        client.stream("POST", path, json={**fields, "stream": True}) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        return list(stream_events(response))


def expected_text(checkpoint: LongCheckpoint, prompt: str, num_tokens: int) -> str:
    tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    tokens = greedy(checkpoint.model, tokenizer.encode(prompt).ids, num_tokens, eos=frozenset({0}))
    return str(tokenizer.decode(tokens))


def test_the_model_card_names_the_checkpoint_and_the_chip(
    replica: Replica, long_checkpoint: LongCheckpoint
) -> None:
    [card] = httpx.get(f"{replica.url}/v1/models").json()["data"]
    assert card["id"] == "tiny"
    assert card["max_model_len"] == 4096
    assert card["penstock"] == {
        "manifest_sha256": long_checkpoint.manifest_sha256,
        "chip_type": "emulated-910b",
        "emulated": True,
        "stands_for": "ascend-910b",
    }
    assert httpx.get(f"{replica.url}/v1/models/tiny").json() == card


def test_greedy_text_is_that_of_the_model_without_cache_and_names_its_checkpoint(
    replica: Replica, long_checkpoint: LongCheckpoint
) -> None:
    response = post(replica, **GREEDY)
    assert text_of(response) == expected_text(long_checkpoint, PROMPT, 24)
    assert response.json()["system_fingerprint"] == long_checkpoint.manifest_sha256[:16]
    assert response.headers["x-penstock-chip-type"] == "emulated-910b"


def test_a_stream_says_what_the_whole_answer_says(replica: Replica) -> None:
    whole = post(replica, **GREEDY).json()
    events = streamed(replica, **GREEDY, stream_options={"include_usage": True})
    text = "".join(event["choices"][0]["text"] for event in events[:-1])
    assert text == whole["choices"][0]["text"]
    assert events[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert (events[-1]["choices"], events[-1]["usage"]) == ([], whole["usage"])
    assert len({event["id"] for event in events}) == 1


def test_a_chat_without_template_is_the_plain_lines(replica: Replica) -> None:
    turns = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    answer = post(
        replica,
        "/v1/chat/completions",
        model="tiny",
        messages=turns,
        temperature=0,
        max_completion_tokens=12,
    ).json()
    plain = text_of(
        post(replica, **{**GREEDY, "prompt": "system: S\nuser: U\nassistant:", "max_tokens": 12})
    )
    assert answer["choices"][0]["message"] == {
        "role": "assistant",
        "content": plain,
        "refusal": None,
    }


def test_a_streamed_chat_adds_up_to_the_whole_one(replica: Replica) -> None:
    fields: dict[str, Any] = {
        "model": "tiny", "temperature": 0, "max_tokens": 12,
        "messages": [{"role": "user", "content": "U"}],
    }  # fmt: skip
    whole = post(replica, "/v1/chat/completions", **fields).json()
    events = streamed(replica, "/v1/chat/completions", **fields)
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert text == whole["choices"][0]["message"]["content"]


def test_tokens_and_text_prompt_the_same(replica: Replica, long_checkpoint: LongCheckpoint) -> None:
    tokenizer = Tokenizer.from_file(str(long_checkpoint.folder / "tokenizer.json"))
    tokens = tokenizer.encode(PROMPT).ids
    assert text_of(post(replica, **{**GREEDY, "prompt": tokens})) == text_of(
        post(replica, **GREEDY)
    )


def test_the_same_seed_gives_the_same_text_streamed_or_not(replica: Replica) -> None:
    """Untrained weights at high temperature give every kind of broken byte sequence."""
    fields: dict[str, Any] = {"model": "tiny", "prompt": "é", "temperature": 2, "max_tokens": 60}
    texts = set()
    for seed in range(8):
        whole = text_of(post(replica, **fields, seed=seed))
        events = streamed(replica, **fields, seed=seed)
        assert "".join(event["choices"][0]["text"] for event in events) == whole
        texts.add(whole)
    assert len(texts) == 8


def test_a_stop_string_cuts_the_text_and_is_the_reason(replica: Replica) -> None:
    text = text_of(post(replica, **GREEDY, ignore_eos=True))
    stop = text[len(text) // 2 :][:3]
    for whole in (True, False):
        fields = {**GREEDY, "stop": [stop, "never there"], "ignore_eos": True}
        if whole:
            choices = [post(replica, **fields).json()["choices"][0]]
        else:
            choices = [event["choices"][0] for event in streamed(replica, **fields)]
        assert "".join(choice["text"] for choice in choices) == text.split(stop)[0]
        assert choices[-1]["finish_reason"] == "stop"


def test_many_at_once_get_what_each_alone_gets(replica: Replica) -> None:
    prompts = [PROMPT[: 1 + n % len(PROMPT)] * (1 + n % 5) for n in range(24)]
    with ThreadPoolExecutor(12) as pool:
        together = list(
            pool.map(lambda prompt: text_of(post(replica, **{**GREEDY, "prompt": prompt})), prompts)
        )
    alone = [text_of(post(replica, **{**GREEDY, "prompt": prompt})) for prompt in prompts]
    assert together == alone


def test_scores_come_when_asked_for(replica: Replica) -> None:
    scores = post(replica, **GREEDY, logprobs=2).json()["choices"][0]["logprobs"]
    assert len(scores["tokens"]) == len(scores["token_logprobs"])
    assert all(value <= 0 for value in scores["token_logprobs"])
    assert {len(top) for top in scores["top_logprobs"]} <= {1, 2}
    assert post(replica, **GREEDY).json()["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(
    "method,path,body,status,code",
    [
        ("GET", "/v1/nothing", None, 404, "unknown_url"),
        ("POST", "/v1/embeddings", {"model": "tiny", "input": "x"}, 404, "operation_not_offered"),
        ("POST", "/v1/rerank", {}, 404, "operation_not_offered"),
        ("POST", "/v1/tokenize", {}, 404, "operation_not_offered"),
        ("GET", "/v1/models/other", None, 404, "model_not_found"),
        ("GET", "/v1/completions", None, 405, "method_not_allowed"),
        ("POST", "/v1/completions", b"{", 400, "invalid_json"),
        ("POST", "/v1/completions", {**GREEDY, "model": "other"}, 404, "model_not_found"),
        ("POST", "/v1/completions", {**GREEDY, "model": "\ud800"}, 404, "model_not_found"),
        ("POST", "/v1/completions", {**GREEDY, "n": 2}, 400, "unsupported_parameter"),
        ("POST", "/v1/completions", {**GREEDY, "max_tokens": "x"}, 400, "invalid_value"),
        ("POST", "/v1/completions", {**GREEDY, "prompt": "\ud800"}, 400, "invalid_value"),
        ("POST", "/v1/completions", {**GREEDY, "prompt": [99999]}, 400, "invalid_value"),
        ("POST", "/v1/completions", {**GREEDY, "max_tokens": 4096}, 400, "context_length_exceeded"),
        ("POST", "/v1/completions", {**GREEDY, "pear": 1}, 400, "unknown_parameter"),
        ("POST", "/v1/chat/completions", {"model": "tiny"}, 400, "missing_parameter"),
        ("POST", "/v1/completions", b" " * (8 * 2**20 + 1), 413, "body_too_large"),
    ],
)
def test_every_refusal_has_openais_shape(
    replica: Replica, method: str, path: str, body: Any, status: int, code: str | None
) -> None:
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    with replica.client() as client:
        response = client.request(method, path, content=content)
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert error["message"]


def test_what_the_engine_has_not_is_said_with_what_it_has(replica: Replica) -> None:
    with replica.client() as client:
        error = client.post("/v1/embeddings", json={"model": "tiny", "input": "x"}).json()["error"]
    assert error["message"] == (
        "This model's engine does not offer POST /v1/embeddings; it offers /v1/chat/completions "
        "and /v1/completions."
    )
    assert error["type"] == "invalid_request_error"


def test_metrics_carry_vllms_names(replica: Replica) -> None:
    post(replica, **GREEDY)
    page = httpx.get(f"{replica.url}/metrics").text
    assert "_created" not in page
    for name in (
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
        "vllm:time_to_first_token_seconds_bucket",
        "vllm:e2e_request_latency_seconds_bucket",
        "penstock_engine_load_seconds",
    ):
        assert f"\n{name}{{" in page
    assert replica.metric("vllm:request_success_total", finished_reason="length") > 0


def test_the_agent_hears_of_readiness_speed_and_tokens(replica: Replica) -> None:
    post(replica, **GREEDY)
    replica.wait_for(lambda: len(replica.agent.ops("progress")) > 0)
    assert replica.agent.ops("ready")[0]["ready"] is True
    assert {message["token"] for message in replica.agent.heard} == {"secret"}
    replica.wait_for(lambda: len(replica.agent.ops("speed")) >= 2)
    speeds = {it["speed"]["work_class"]: it["speed"] for it in replica.agent.ops("speed")}
    phases = {work.phase for text in speeds if (work := parse_work_class(text))}
    assert phases == {Phase.PREFILL, Phase.DECODE}
    assert all(it["value"] > 0 and it["origin"] == "profile" for it in speeds.values())
    assert replica.agent.ops("progress")[-1]["progress"]["tokens"] > 0
