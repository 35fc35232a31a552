"""A replica with a cache too small for its guests, some of whom leave in the middle."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.serving.conftest import LongCheckpoint
from tests.integration.serving.replica import Replica, serving, stream_events

pytestmark = pytest.mark.integration
NUM_GUESTS = 60
PAGE_BYTES = 2 * 2 * 2 * 16 * 16 * 4
"""Keys and values, layers, heads, head size, tokens, bytes of the test model's page."""


def ask(replica: Replica, guest: int, patience: int | None) -> str:
    """The guest's text; one with `patience` leaves after that many events."""
    body = {
        "model": "tiny", "prompt": f"guest {guest}: def", "temperature": 0, "stream": True,
        "max_tokens": 150 + guest, "ignore_eos": True,
    }  # fmt: skip
    text = ""
    with (
        replica.client() as client,
        client.stream("POST", "/v1/completions", json=body) as response,
    ):
        for number, event in enumerate(stream_events(response)):
            text += event["choices"][0]["text"]
            if number == patience:
                break
    return text


def test_a_full_cache_and_leaving_guests_cost_no_page_and_no_token(
    long_checkpoint: LongCheckpoint, tmp_path: Path
) -> None:
    rng = random.Random(0)
    patience = [rng.choice([None, None, rng.randint(0, 100)]) for _ in range(NUM_GUESTS)]
    work = long_checkpoint.work(cache_bytes=260 * PAGE_BYTES, max_running=32)
    with serving(tmp_path, work) as replica:
        with ThreadPoolExecutor(NUM_GUESTS) as pool:
            texts = list(pool.map(lambda n: ask(replica, n, patience[n]), range(NUM_GUESTS)))
        assert replica.metric("vllm:num_preemptions_total") > 0
        replica.wait_for(lambda: replica.metric("vllm:kv_cache_usage_perc") == 0, timeout_s=10)
        assert replica.metric("vllm:num_requests_running") == 0
        for guest in range(0, NUM_GUESTS, 6):
            alone = ask(replica, guest, patience[guest])
            assert texts[guest] == alone
