"""Which texts are ids: those can never be names of something new."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from penstock.api.ids import PREFIXES, noun_of
from penstock.api.specs import NewName

HEX = "0190a0b0c0d0e0f00190a0b0c0d0e0f0"
NAMES = TypeAdapter(NewName)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_looks_like_an_id_of_any_kind_is_no_new_name(prefix: str) -> None:
    assert noun_of(f"{prefix}_{HEX}") == prefix
    with pytest.raises(ValidationError, match="looks like an id"):
        NAMES.validate_python(f"{prefix}_{HEX}")


@pytest.mark.parametrize(
    "name",
    [
        "job", "latest", f"job-{HEX}", f"job_{HEX[:-1]}", f"job_{HEX}0", f"myjob_{HEX}",
        f"run_{HEX}", HEX, f"job_{HEX[:-1]}g", f"x.job_{HEX}",
    ],
)  # fmt: skip
def test_what_only_resembles_an_id_stays_a_name(name: str) -> None:
    assert noun_of(name) is None
    assert NAMES.validate_python(name) == name


@pytest.mark.parametrize(
    "name",
    [
        f"JOB_{HEX}", f"Job_{HEX}", f"job_{HEX.upper()}", "-", ".", "..", "a/b", "a%2fb",
        "j\u043eb", "\uff4aob", f"job_{HEX}\n", "", "job ",
    ],
)  # fmt: skip
def test_other_cases_look_alikes_and_signs_are_neither_id_nor_name(name: str) -> None:
    assert noun_of(name) is None
    with pytest.raises(ValidationError):
        NAMES.validate_python(name)
