"""Every kind of error that a type of ours can raise has a sentence of ours."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError

import penstock.api
from agents.settings import Settings as AgentSettings
from control_plane.api.app import api_routes
from control_plane.settings import Settings as ServerSettings
from penstock.api.base import Strict
from penstock.api.specs import JobSpec
from penstock.api.tokens import JoinTokenRequest, TokenRequest
from penstock.catalogue.values import VALUES
from penstock.documents.sentences import is_worded, sentence
from penstock.documents.violations import violations_of

LIBRARY_WORDS = re.compile(
    r"[Ii]nput should|should be|should have|Value error|Tuple|Dictionary|String|Extra inputs"
    r"|Field required|after validation|valid integer|unable to parse|greater than|\^"
)
# What each kind of schema can raise: by itself, and for each constraint on it.
RAISES: Mapping[str, tuple[str, ...]] = {
    "str": ("string_type", "string_unicode"),
    "int": ("int_type", "int_parsing", "int_parsing_size", "int_from_float", "finite_number"),
    "float": ("float_type", "float_parsing", "finite_number"),
    "bool": ("bool_type", "bool_parsing"),
    "dict": ("dict_type",),
    "list": ("list_type",),
    "tuple": ("tuple_type", "missing"),
    "model": ("model_type", "model_attributes_type"),
    "model-fields": ("missing", "extra_forbidden", "invalid_key"),
    "literal": ("literal_error",),
    "enum": ("enum",),
    "datetime": (
        "datetime_type", "datetime_parsing", "datetime_object_invalid",
        "datetime_from_date_parsing",
    ),
    "function-after": ("value_error", "assertion_error"),
    "function-before": ("value_error", "assertion_error"),
}  # fmt: skip
BOUNDS = {
    "ge": "greater_than_equal", "gt": "greater_than", "le": "less_than_equal", "lt": "less_than",
    "pattern": "string_pattern_mismatch",
}  # fmt: skip
HARMLESS = {"any", "default", "definition-ref", "definitions", "is-instance", "json-or-python",
            "lax-or-strict", "model-field", "no-info", "nullable", "union"}  # fmt: skip


def _types() -> Iterator[type[BaseModel]]:
    for module in pkgutil.iter_modules(penstock.api.__path__):
        importlib.import_module(f"penstock.api.{module.name}")
    yield from _below(Strict)
    yield from (AgentSettings, ServerSettings)


def _below(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def _parameters(routes: Iterable[APIRoute]) -> Iterator[Any]:
    for route in routes:
        for flat in (route.dependant, *route.dependant.dependencies):
            for field in (*flat.query_params, *flat.header_params, *flat.path_params):
                yield field._type_adapter.core_schema


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str):
            yield schema
        for key, inner in schema.items():
            if key not in ("metadata", "serialization"):
                yield from _nodes(inner)
    elif isinstance(schema, list | tuple):
        for inner in schema:
            yield from _nodes(inner)


def _everything() -> list[dict[str, Any]]:
    schemas = [TypeAdapter(one).core_schema for one in _types()]
    return [node for schema in (*schemas, *_parameters(api_routes())) for node in _nodes(schema)]


def _kinds(node: Mapping[str, Any]) -> Iterator[str]:
    yield from RAISES.get(node["type"], ())
    yield from (BOUNDS[key] for key in node if key in BOUNDS)
    for key, text, items in (
        ("min_length", "string_too_short", "too_short"),
        ("max_length", "string_too_long", "too_long"),
    ):
        if key in node:
            yield text if node["type"] == "str" else items
    if "custom_error_type" in node:
        yield node["custom_error_type"]


def test_every_kind_that_our_types_can_raise_is_worded() -> None:
    nodes = _everything()
    assert len(nodes) > 500
    unknown = {node["type"] for node in nodes} - RAISES.keys() - HARMLESS
    assert not unknown, "say in RAISES what these can raise"
    kinds = {kind for node in nodes for kind in _kinds(node)}
    assert len(kinds) > 20
    assert [kind for kind in sorted(kinds) if not is_worded(kind)] == []


def test_every_pattern_of_our_types_is_worded() -> None:
    patterns = {node["pattern"] for node in _everything() if node.get("pattern")}
    assert len(patterns) > 4
    assert [one for one in patterns if not is_worded("string_pattern_mismatch", one)] == []


def test_a_kind_that_nobody_thought_of_gets_no_words_of_the_library() -> None:
    told = sentence(
        {"type": "url_scheme", "msg": "URL scheme should be 'https'", "loc": (), "input": "http://"}
    )
    assert told == VALUES["not_a_value"]


TASK: dict[str, Any] = {"type": "task", "task": {"command": ["true"]}}
MISTAKES: dict[str, tuple[dict[str, Any], str, str]] = {
    "nothing": ({}, "/type", "the field `type` is needed"),
    "no items": ({"type": "task", "task": {"command": []}}, "/task/command",
                 "must have at least 1 item"),
    "too many": ({**TASK, "labels": {str(n): "" for n in range(65)}}, "/labels",
                 "must have at most 64 items"),
    "too long": ({**TASK, "name": "a" * 64}, "/name", "must have at most 63 characters"),
    "not a name": ({**TASK, "name": "My Job"}, "/name",
                   ("must be a name of lower-case letters, digits, dots, dashes and underscores, "
                   "with a letter or digit at both ends, at most 63 long")),
    "not a variable": ({**TASK, "env": {"1A": "x"}}, "/env/1A",
                       ("must be the name of a variable: letters, digits and underscores, not "
                       "beginning with a digit")),
    "not a webhook": ({**TASK, "notify": {"webhook": "ftp://x"}}, "/notify/webhook",
                      "must begin with http:// or https://"),
    "not a chip": ({**TASK, "resources": {"chip": 3}}, "/resources/chip",
                   "must be a chip such as emulated-a100, or a list of them"),
    "chips in a list": ({**TASK, "resources": {"chips": [1]}}, "/resources/chips",
                        "must be a count such as 4 or a range such as 2..8"),
    "memory in a list": ({**TASK, "resources": {"memory": []}}, "/resources/memory",
                         "must be a size such as 512MiB or 16GiB"),
    "less than no memory": ({**TASK, "resources": {"memory": -1}}, "/resources/memory",
                            "must be between 0B and 8192TiB"),
    "above a whole chip": ({**TASK, "resources": {"share": 1.5}}, "/resources/share",
                           "must be at most 1"),
    "no share": ({**TASK, "resources": {"share": 0}}, "/resources/share", "must be more than 0"),
    "a choice": ({"type": "tsk"}, "/type", "must be train, serve or task"),
    "a choice or a list": ({"type": "train", "train": {"shares": "x"}}, "/train/shares",
                           "must be measured or equal, or must be a list"),
    "half a step": ({"type": "train", "train": {"steps": 1.5}}, "/train/steps",
                    "must be a whole number"),
    "a very long number": ({"type": "train", "train": {"steps": "9" * 5000}}, "/train/steps",
                           "must be a whole number of fewer digits"),
    "no time": ({**TASK, "max_duration": "0s"}, "/max_duration", "must be between 1s and 3650d"),
    "no time in hours": ({**TASK, "max_duration": "0h0m"}, "/max_duration",
                         "must be between 1s and 3650d"),
    "less than no time": ({**TASK, "max_duration": -5}, "/max_duration",
                          "must be between 1s and 3650d"),
    "longer than anybody waits": ({**TASK, "max_duration": "99999999999d"}, "/max_duration",
                                  "must be between 1s and 3650d"),
    "not a number of seconds": ({**TASK, "max_duration": float("nan")}, "/max_duration",
                                "must be between 1s and 3650d"),
    "no grace": ({**TASK, "disconnect_grace": 0}, "/disconnect_grace",
                 "must be between 30s and 1d"),
    "a duration in a mapping": ({**TASK, "max_duration": {"hours": 1}}, "/max_duration",
                                "must be a duration such as 90s, 2h or 1h30m"),
}  # fmt: skip


@pytest.mark.parametrize("document,pointer,message", MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_is_told_once_in_plain_words(
    document: dict[str, Any], pointer: str, message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate(document)
    (violation,) = violations_of(caught.value, JobSpec, document)
    assert (violation.pointer, violation.message) == (pointer, message)
    assert not LIBRARY_WORDS.search(violation.message)


@pytest.mark.parametrize("model", [TokenRequest, JoinTokenRequest])
@pytest.mark.parametrize("lasts", ["0s", 0, -1, "0.5s", "9999999d"])
def test_a_token_lasts_at_least_a_second_and_not_for_ever(
    model: type[BaseModel], lasts: object
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"name": "a", "expires_in": lasts})
    told = {one.pointer: one.message for one in violations_of(caught.value, model, {})}
    assert "must be between 1s and" in " ".join(told.values())
