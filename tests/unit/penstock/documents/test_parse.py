"""Strict documents: what is read, and where each refusal points."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.documents import DocumentError, Place, parse_document

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)
)


def refusal(text: str | bytes) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse_document(text if isinstance(text, bytes) else text.encode())
    return caught.value


def test_plain_values_are_those_of_yaml_1_2() -> None:
    text = "a: yes\nb: 2026-01-01\nc: 0x10\nd: 1.5e3\ne:\nf: 1h30m\ng: '5'\nh: 12:30\ni: true\n"
    assert parse_document(text.encode()).value == {
        "a": "yes",
        "b": "2026-01-01",
        "c": 16,
        "d": 1500.0,
        "e": None,
        "f": "1h30m",
        "g": "5",
        "h": "12:30",
        "i": True,
    }


def test_places_are_those_of_the_keys() -> None:
    document = parse_document(b"type: train\nresources:\n  chip:\n    - any\n    - cpu\n")
    assert document.places["/resources/chip"] == Place(3, 3)
    assert document.places["/resources/chip/1"] == Place(5, 7)


def test_an_alias_may_be_used_for_what_it_is_good_for() -> None:
    assert parse_document(b"a: &x {b: 1}\nc: *x\n").value == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    "text,code,place",
    [
        ("a: [1, 2", "broken_yaml", Place(1, 9)),
        ("a:\n\t- b", "broken_yaml", Place(2, 1)),
        ("a: \x01", "broken_yaml", Place(1, 4)),
        ("a: *x", "broken_yaml", Place(1, 4)),
        ("a: 1\n---\nb: 2", "broken_yaml", Place(2, 1)),
        ("? [a]\n: b", "broken_yaml", Place(1, 3)),
        ("a: !!int abc", "broken_yaml", Place(1, 4)),
        ("a: 1\nb: 2\na: 3", "duplicate_key", Place(3, 1)),
        ("a: !!python/object:os.system {}", "tag_refused", Place(1, 4)),
        ("a: !secret b", "tag_refused", Place(1, 4)),
        (BOMB, "too_many_aliases", Place(5, 12)),
        ("a: &a [*a]", "too_deep", Place(1, 4)),
        ("a: 1e309", "number_too_large", Place(1, 4)),
        ("a: " + "9" * 50, "number_too_large", Place(1, 4)),
        ("- a", "not_a_mapping", None),
        (" \n", "empty_document", None),
        ('{"a": 1,}', "broken_json", Place(1, 9)),
        ('{"a": NaN}', "broken_json", None),
        ('{"a": 1e999}', "number_too_large", None),
        ('{"a": ' + "[" * 100_000, "too_deep", None),
    ],
)
def test_each_refusal_has_a_code_and_points_at_its_place(
    text: str, code: str, place: Place | None
) -> None:
    error = refusal(text)
    assert (error.code, error.place) == (code, place)
    assert "\n" not in error.message


def test_a_duplicate_key_of_json_is_told_by_its_pointer() -> None:
    error = refusal('{"train": {"steps": 1, "steps": 2}}')
    assert (error.code, error.pointer) == ("duplicate_key", "/train/steps")


def test_bytes_that_are_no_text_are_told_by_line() -> None:
    assert refusal(b"a: 1\nb: \xff").place == Place(2, 4)


def test_a_document_of_more_than_a_mebibyte_is_not_read() -> None:
    assert refusal(b"a" * (2**20 + 1)).code == "document_too_large"


@given(st.binary(max_size=200))
def test_any_bytes_give_a_mapping_or_one_refusal(data: bytes) -> None:
    for syntax in ("yaml", "json"):
        with suppress(DocumentError):
            assert isinstance(parse_document(data, syntax=syntax).value, dict)
