"""Classes of work: how they are spelt, which is near to which, and what a token costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.specs import ModelShape
from penstock.api.work import (
    Cost,
    ModelSize,
    Phase,
    WorkClass,
    bucket,
    folder_name,
    parse_work_class,
    serve_class,
    train_class,
)

SIZE = ModelSize(2, 128, 352, 4, 2, 1024, 128)
WORDS = st.from_regex(r"([a-z0-9][a-z0-9.,]{0,15})?", fullmatch=True)


@given(
    st.builds(
        WorkClass, st.just("serve"), st.sampled_from(Phase), st.just("m"), WORDS, WORDS,
        st.integers(0, 4096), st.integers(0, 4096),
    )
)  # fmt: skip
def test_a_class_is_read_as_it_is_spelt(work: WorkClass) -> None:
    assert parse_work_class(str(work)) == work


def test_a_training_job_and_a_server_spell_the_shape_out() -> None:
    shape = "i352,q4,k2,v1024,t128"
    assert str(train_class(SIZE, 24, 4, 2)) == f"train/train/llama-2x128/fp32/{shape}/m2/b4"
    assert str(train_class(SIZE, 5, 4, 4)) == f"train/train/llama-2x128/fp32/{shape}/m4/b2"
    served = serve_class(Phase.DECODE, "tiny", 1)
    assert str(served) == "serve/decode/tiny/-/-/m1/b8"


def test_the_largest_shape_fits_into_a_report() -> None:
    most = ModelSize(256, 65536, 1048576, 1024, 1024, 1048576, 1048576)
    assert len(str(train_class(most, 10**6, 10**6, 4096))) <= 128
    name = folder_name("/x/" + "n" * 99)
    assert len(str(serve_class(Phase.PREFILL, name, 512, "fp32", most))) <= 128


def test_classes_of_older_agents_are_understood() -> None:
    assert parse_work_class("train/llama-2x128") == WorkClass("train", Phase.TRAIN, "llama-2x128")
    assert parse_work_class("serve/llama-2x64") == WorkClass("serve", Phase.DECODE, "llama-2x64")


@pytest.mark.parametrize("text", ["", "x", "a/", "a/b/c", "a/b/c/d/e/m1/b1", "a/train/c/d/e/m/b1"])
def test_other_words_are_no_class(text: str) -> None:
    assert parse_work_class(text) is None


def test_the_same_work_is_nearest_and_other_work_says_nothing() -> None:
    mine = train_class(SIZE, 24, 4, 2)
    same, fewer = mine, train_class(SIZE, 24, 4, 1)
    larger = train_class(SIZE, 24, 1, 2)
    older = WorkClass("train", Phase.TRAIN, SIZE.name)
    near = [it for it in (older, larger, fewer, same) if mine.distance(it) is not None]
    assert sorted(near, key=lambda it: mine.distance(it) or ()) == [same, fewer, larger, older]
    assert mine.distance(serve_class(Phase.DECODE, SIZE.name, 2, "fp32", SIZE)) is None
    assert mine.distance(WorkClass("train", Phase.TRAIN, SIZE.name, "bf16")) is None


def test_a_token_costs_what_the_shape_says() -> None:
    weights = 2 * (128 * (2 * 128 + 2 * 64) + 3 * 128 * 352) + 1024 * 128
    forward = 2 * weights + 4 * 2 * 128 * 64
    kept = 2 * 2 * 64 * 4
    assert SIZE.cost(train_class(SIZE, 24, 4, 2)) == Cost(
        3 * forward, 4 * weights * 4 / (4 * 128) + 2 * kept
    )
    prefill, decode = (
        SIZE.cost(serve_class(it, SIZE.name, 1, "fp32", SIZE))
        for it in (Phase.PREFILL, Phase.DECODE)
    )
    assert prefill == Cost(forward, weights * 4 / 64 + kept)
    assert decode == Cost(forward, weights * 4 / 8 + kept * 64)


def test_the_size_is_that_of_the_spec() -> None:
    assert ModelSize.of(ModelShape().model_dump()) == SIZE


@pytest.mark.parametrize("number,found", [(0, 1), (1, 1), (3, 2), (4, 4), (1000, 512)])
def test_buckets_are_powers_of_two(number: int, found: int) -> None:
    assert bucket(number) == found


@pytest.mark.parametrize(
    "uri,name", [("/models/Tiny Llama/", "tiny-llama"), ("s3://b/x", "x"), ("/", "model")]
)
def test_a_folder_gives_a_model_its_name(uri: str, name: str) -> None:
    assert folder_name(uri) == name
