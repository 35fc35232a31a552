"""A spec out of a document, options and a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from penstock.api.specs import JobSpec
from penstock.cli.failures import CliError
from penstock.cli.spec.file import load_spec, merge, parse_chips, parse_pairs

TRAIN: dict[str, Any] = {"type": "train", "resources": {"chips": 2, "mix": True}}


def test_a_command_alone_is_a_task() -> None:
    spec = merge({}, {}, ["echo", "hello"])
    assert spec == {"type": "task", "task": {"command": ["echo", "hello"]}}
    assert JobSpec.model_validate(spec).task is not None


def test_every_option_reaches_its_field() -> None:
    flags = {
        "name": "n", "project": "p", "queue": "q", "priority": 70, "max_duration": "2h",
        "chips": "cpu:2..4", "share": 0.5, "mix": True, "cores": 1.5, "host_memory": "2GiB",
        "replicas": 3, "retry": 2, "env": ["A=1"], "label": ["l=v"],
    }  # fmt: skip
    assert merge({}, flags, ["true"]) == {
        "type": "task",
        "name": "n",
        "project": "p",
        "queue": "q",
        "priority": 70,
        "max_duration": "2h",
        "task": {"command": ["true"], "replicas": 3},
        "retry": {"limit": 2},
        "env": {"A": "1"},
        "labels": {"l": "v"},
        "resources": {
            "chip": "cpu",
            "chips": "2..4",
            "share": 0.5,
            "cores": 1.5,
            "host_memory": "2GiB",
            "mix": True,
        },
    }


def test_a_work_folder_is_meant_as_of_here() -> None:
    spec = merge({}, {"workdir": "."}, ["true"])
    assert spec["task"] == {"command": ["true"], "workdir": str(Path.cwd())}
    assert merge({}, {"workdir": "/srv/it"}, ["true"])["task"]["workdir"] == "/srv/it"


def test_options_win_over_the_file_and_the_rest_of_it_stays() -> None:
    spec = merge(TRAIN, {"chips": "8", "priority": 1}, ())
    assert spec == {"type": "train", "priority": 1, "resources": {"chips": "8", "mix": True}}
    assert TRAIN["resources"] == {"chips": 2, "mix": True}


def test_replicas_go_to_the_section_of_the_jobs_type() -> None:
    spec = merge({"type": "serve", "serve": {"model": "m"}}, {"replicas": 2}, ())
    assert spec["serve"] == {"model": "m", "replicas": 2}


def test_preferences_may_be_repeated_or_listed() -> None:
    spec = merge({}, {"chip": ["a,b", "c"]}, ["true"])
    assert spec["resources"]["chip"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "text,parsed", [("4", (None, "4")), ("2..8", (None, "2..8")), ("a:b:1", ("a:b", "1"))]
)
def test_chips_are_a_count_or_a_type_and_a_count(text: str, parsed: tuple[str, str]) -> None:
    assert parse_chips(text) == parsed


@pytest.mark.parametrize("text", ["", ":4", "cpu", "cpu:", "cpu:-1", "1.5", "9999999"])
def test_other_chips_are_refused(text: str) -> None:
    with pytest.raises(CliError, match="must be COUNT or TYPE:COUNT"):
        parse_chips(text)


def test_a_pair_without_an_equals_sign_is_refused_without_repeating_values() -> None:
    assert parse_pairs("--env", ["A=b=c", "B="]) == {"A": "b=c", "B": ""}
    with pytest.raises(CliError):
        parse_pairs("--env", ["=hunter2"])


def test_a_type_given_twice_is_refused() -> None:
    with pytest.raises(CliError, match="given twice"):
        merge({}, {"chips": "cpu:1", "chip": ["any"]}, ["true"])


def test_nothing_to_run_says_what_to_give() -> None:
    with pytest.raises(CliError, match="a command after `--`"):
        load_spec(None, {}, ())


def test_a_section_of_the_wrong_kind_is_told_by_the_specs_own_check() -> None:
    spec = merge({"type": "task", "task": {"command": ["a"]}, "env": 5}, {}, ())
    with pytest.raises(ValidationError):
        JobSpec.model_validate(spec)
