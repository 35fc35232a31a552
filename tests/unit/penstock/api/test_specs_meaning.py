"""What a spec may say: a wish means a chip, ranges and mixing where they mean something."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from penstock.api.specs import JobSpec


def a_task(**resources: Any) -> JobSpec:
    return JobSpec.model_validate(
        {"type": "task", "task": {"command": ["true"]}, "resources": resources}
    )


@pytest.mark.parametrize(
    "wish",
    [
        {"chip": "emulated-a100"},
        {"chip": ["cpu", "any"]},
        {"memory": "1GiB"},
        {"dtype": "bf16"},
        {"share": 0.5},
    ],
)
def test_who_names_a_chip_or_its_properties_wants_one(wish: dict[str, Any]) -> None:
    assert a_task(**wish).resources.chips.most == 1


def test_without_a_wish_a_task_asks_for_no_chip() -> None:
    assert a_task().resources.chips.most == 0


@pytest.mark.parametrize("resources", [None, {}, {"mix": True}, {"cores": 2}])
@pytest.mark.parametrize("kind", [{"type": "train"}, {"type": "serve", "serve": {"model": "/m"}}])
def test_training_and_serving_take_a_chip_where_nothing_is_said(
    kind: dict[str, Any], resources: dict[str, Any] | None
) -> None:
    document = kind if resources is None else {**kind, "resources": resources}
    assert JobSpec.model_validate(document).resources.chips.most == 1


def test_who_says_none_means_it() -> None:
    document = {"type": "serve", "serve": {"model": "/m"}, "resources": {"chips": 0}}
    spec = JobSpec.model_validate(document)
    assert spec.resources.chips.most == 0
    assert JobSpec.model_validate(spec.model_dump(mode="json", exclude_none=True)) == spec


@pytest.mark.parametrize(
    "resources,why",
    [
        ({"chip": "emulated-a100", "chips": 0}, "names a chip but asks for 0"),
        ({"chips": "2..8"}, "for training jobs"),
        ({"chips": 4, "mix": True}, "nothing to mix"),
    ],
)
def test_what_means_nothing_is_refused(resources: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        a_task(**resources)


def test_a_stored_spec_reads_as_the_one_it_was() -> None:
    for spec in (a_task(), a_task(chip="cpu"), a_task(share=0.5, chip="cpu")):
        assert JobSpec.model_validate(spec.model_dump(mode="json", exclude_none=True)) == spec
