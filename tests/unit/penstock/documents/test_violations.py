"""What is said about a job spec that does not fit its type."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from penstock.api.errors import Violation
from penstock.api.specs import JobSpec
from penstock.documents.violations import MAX_VIOLATIONS, nearest, violations_of

TASK: dict[str, Any] = {"type": "task", "task": {"command": ["true"]}}


def violations(document: dict[str, Any]) -> list[Violation]:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate(document)
    return violations_of(caught.value, JobSpec, document)


@pytest.mark.parametrize(
    "document,pointer,guess",
    [
        ({"type": "trian"}, "/type", "train"),
        ({**TASK, "quue": "a"}, "/quue", "queue"),
        ({"type": "train", "train": {"stpes": 3}}, "/train/stpes", "steps"),
        ({"type": "train", "train": {"model": {"num_layer": 3}}}, "/train/model/num_layer",
         "num_layers"),
        ({**TASK, "resources": {"dtype": "bf61"}}, "/resources/dtype", "bf16"),
        ({"type": "train", "train": {"shares": "measurd"}}, "/train/shares", "measured"),
    ],
)  # fmt: skip
def test_a_misspelt_word_is_told_with_the_nearest_and_all_allowed(
    document: dict[str, Any], pointer: str, guess: str
) -> None:
    (violation,) = violations(document)
    assert (violation.pointer, violation.did_you_mean) == (pointer, guess)
    assert guess in (violation.allowed or [])


@pytest.mark.parametrize(
    "fields,pointer,message",
    [
        ({"priority": 500}, "/priority", "must be at most 100"),
        ({"priority": "high"}, "/priority", "must be a whole number"),
        ({"env": {"A": 1}}, "/env/A", "must be text (put quotes around it)"),
        ({"resources": {"chips": "x"}}, "/resources/chips",
         "must be a count such as 4 or a range such as 2..8"),
        ({"task": {"command": "ls -l"}}, "/task/command", "must be a list"),
        ({"task": {}}, "/task/command", "the field `command` is needed"),
        ({"labels": []}, "/labels", "must be a mapping"),
    ],
)  # fmt: skip
def test_each_kind_of_mistake_has_a_plain_sentence(
    fields: dict[str, Any], pointer: str, message: str
) -> None:
    (violation,) = violations({**TASK, **fields})
    assert (violation.pointer, violation.message) == (pointer, message)


@pytest.mark.parametrize(
    "document,pointer,guess",
    [
        ({"typ": "task"}, "/typ", "type"),
        ({"type": "task", "task": {"comand": ["true"]}}, "/task/comand", "command"),
        ({"type": "serve", "serve": {"modle": "job:a"}}, "/serve/modle", "model"),
        ({"type": "train", "train": {"shares": [{"from_stpe": 0, "shares": [1]}]}},
         "/train/shares/0/from_stpe", "from_step"),
    ],
)  # fmt: skip
def test_a_needed_field_under_a_misspelt_name_is_one_mistake(
    document: dict[str, Any], pointer: str, guess: str
) -> None:
    (violation,) = violations(document)
    assert (violation.pointer, violation.did_you_mean) == (pointer, guess)


def test_a_needed_field_that_is_missing_beside_a_strange_one_is_told_too() -> None:
    found = violations({"type": "task", "task": {"xyz": 1}})
    assert [v.pointer for v in found] == ["/task/command", "/task/xyz"]


def test_everything_wrong_is_told_at_once() -> None:
    found = violations({**TASK, "priority": -1, "queeu": "a", "resources": {"memory": "much"}})
    assert [v.pointer for v in found] == ["/priority", "/resources/memory", "/queeu"]


def test_a_mistake_inside_one_member_of_a_union_is_told_there_only() -> None:
    shares = [{"from_step": -1, "shares": [1]}]
    found = violations({"type": "train", "train": {"shares": shares}})
    assert [v.pointer for v in found] == ["/train/shares/0/from_step"]


def test_what_may_be_a_secret_is_never_repeated() -> None:
    found = violations({**TASK, "env": {"KEY": ["hunter2"]}, "token": "hunter2"})
    assert "hunter2" not in "".join(v.model_dump_json() for v in found)


def test_long_values_are_shortened_and_many_mistakes_are_cut() -> None:
    found = violations({**TASK, "name": "X" * 500, **{f"wrong{n}": 1 for n in range(50)}})
    assert len(found) == MAX_VIOLATIONS
    assert len(str(found[0].received)) <= 80


def test_the_nearest_name_ignores_case_and_gives_up_on_strangers() -> None:
    assert nearest("QUEUE", ["queue", "train"]) == "queue"
    assert nearest("xyzzy", ["queue", "train"]) is None
