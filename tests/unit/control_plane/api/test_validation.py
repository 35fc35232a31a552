"""What is wrong with a document: every place once, with what was meant."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from control_plane.api.misread import misread_values
from control_plane.api.validation import parameter_error, unknown_parameters, validation_error
from control_plane.errors import Invalid, NotFound, PlatformError
from penstock.api.assignments import HeartbeatRequest, ReportRequest
from penstock.api.queues import QueueLimits
from penstock.api.specs import JobSpec
from penstock.documents import Place

TASK: dict[str, Any] = {"type": "task", "task": {"command": ["true"]}}


def _misread(model: type[BaseModel], document: dict[str, Any]) -> list[tuple[object, object]]:
    return [(one["type"], one["loc"]) for one in misread_values(model, document)]


@pytest.mark.parametrize(
    "model,document,found",
    [
        (JobSpec, {**TASK, "priority": True}, [("int_type", ("priority",))]),
        (JobSpec, {**TASK, "resources": {"mix": True, "share": False}},
         [("float_type", ("resources", "share"))]),
        (JobSpec, {**TASK, "priority": 7, "labels": {"a": "b"}}, []),
        (QueueLimits, {"limits": {"any": True}}, [("int_type", ("limits", "any"))]),
        (HeartbeatRequest, {"inventory": {"chips": [{}, {"index": True, "emulated": True}]}},
         [("int_type", ("inventory", "chips", 1, "index"))]),
        (ReportRequest, {"observations": [{"observed_at": 0, "result": {"x": True, "y": 1}}]},
         [("datetime_type", ("observations", 0, "observed_at"))]),
    ],
)  # fmt: skip
def test_values_that_would_be_misread_are_found(
    model: type[BaseModel], document: dict[str, Any], found: list[tuple[str, tuple[Any, ...]]]
) -> None:
    assert _misread(model, document) == found


def _error(document: dict[str, Any], **more: Any) -> PlatformError:
    with pytest.raises(ValidationError) as refused:
        JobSpec.model_validate(document)
    errors = [{**one, "loc": ("body", *one["loc"])} for one in refused.value.errors()]
    return validation_error(errors, JobSpec, document, **more)


def test_a_field_of_another_level_is_pointed_to_its_home() -> None:
    (violation,) = _error({**TASK, "memory": "2GiB"}).violations
    assert violation.did_you_mean == "resources.memory"


def test_yaml_errors_carry_their_line() -> None:
    error = _error({**TASK, "priority": 101}, places={"/priority": Place(3, 1)})
    assert "(line 3, column 1)" in error.message


def test_a_list_that_only_has_wrong_items_is_not_short_too() -> None:
    error = _error({"type": "task", "task": {"command": [1]}})
    assert [one.pointer for one in error.violations] == ["/task/command/0"]


def test_a_path_that_cannot_name_anything_is_not_found() -> None:
    details = {"type": "string_pattern_mismatch", "loc": ("path", "ref"), "input": "A B"}
    assert isinstance(validation_error([details], None, None), NotFound)


def test_unknown_and_bad_parameters_are_told_together() -> None:
    unknown = unknown_parameters(["limit", "curser"], ["limit", "cursor"])
    bad = {"type": "int_parsing", "loc": ("query", "limit"), "msg": "x", "input": "ten"}
    error = parameter_error(unknown, [bad])
    assert isinstance(error, Invalid)
    assert [(one.pointer, one.did_you_mean) for one in error.violations] == [
        ("?curser", "cursor"),
        ("?limit", None),
    ]
