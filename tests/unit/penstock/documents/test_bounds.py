"""What a document may not hold, wherever it stands, and how much of it there may be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.documents import DocumentError, Limits, parse_document
from tests.unit.texts import any_text

PLAIN = st.text("ab/~é\u4e2d\U0001f600\n\x1b", max_size=6)


def _without_nul(text: str) -> str:
    return text.replace("\0", "")


SAFE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | any_text().map(_without_nul),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(any_text().map(_without_nul), inner)
    ),
    max_leaves=20,
)


def _refusal(data: Any, syntax: str = "json", limits: Limits | None = None) -> DocumentError:
    text = data if isinstance(data, str) else json.dumps(data)
    with pytest.raises(DocumentError) as refused:
        parse_document(text.encode(), syntax=syntax, limits=limits or Limits())
    return refused.value


@given(SAFE)
def test_ordinary_documents_pass(document: Any) -> None:
    written = json.dumps({"a": document}).encode()
    assert parse_document(written, syntax="json").value == {"a": document}


@given(SAFE, st.sampled_from(["a\0", "\ud800", "x\udfff", 2**63, -(2**70)]))
def test_one_bad_value_is_found_where_it_stands(document: Any, bad: Any) -> None:
    error = _refusal({"outer": [document, {"in/ner": bad}]})
    assert [one.pointer for one in error.faults] == ["/outer/1/in~1ner"]


def test_keys_are_looked_at_too() -> None:
    assert [one.pointer for one in _refusal({"a": {"b\0": 1}}).faults] == ["/a/b\0"]


def test_all_bad_values_are_told_up_to_a_number() -> None:
    assert [one.pointer for one in _refusal({"a": "\0", "b": [2**64]}).faults] == ["/a", "/b/0"]
    assert len(_refusal({"a": ["\0"] * 50}).faults) == 20


@given(SAFE)
def test_as_many_values_pass_as_are_allowed_wherever_text_looks_like_more(document: Any) -> None:
    written = json.dumps({"a": document, "b": '[,{"\\'}).encode()
    num_values = _num_values(document) + 3
    found = parse_document(written, syntax="json", limits=Limits(num_values=2 * num_values))
    assert found.value["a"] == document


def _num_values(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_num_values, inner))


@pytest.mark.parametrize("syntax", ["json", "yaml"])
@pytest.mark.parametrize(
    "data,code",
    [
        ('{"a": [' + "1," * 99 + "1]}", "too_many_values"),
        ('{"a": [' + "[]," * 99 + "1]}", "too_many_values"),
        ('{"a": [' + '"x,\\"y[",' * 99 + '"z"]}', "too_many_values"),
        ("{" + ",".join(f'"k{n}": 1' for n in range(21)) + "}", "too_many_values"),
        ('{"a": {"b": {' + ",".join(f'"k{n}": 1' for n in range(21)) + "}}}", "too_many_values"),
        ('{"' + "k" * 1025 + '": 1}', "key_too_long"),
        ('{"a": ' + "[" * 70 + "]" * 70 + "}", "too_deep"),
        ('{"a": ' * 70 + "1" + "}" * 70, "too_deep"),
    ],
)
def test_what_is_too_much_is_refused_alike_in_both_syntaxes(
    syntax: str, data: str, code: str
) -> None:
    limits = Limits(num_values=90, num_keys=20)
    if syntax == "yaml" and code == "key_too_long":
        data = data.replace('": 1', '" : 1').replace('{"', "? ").replace('" : 1}', "\n: 1")
    assert _refusal(data, syntax, limits).code == code


@pytest.mark.parametrize("syntax", ["json", "yaml"])
@given(value=st.recursive(st.integers(0, 9) | PLAIN, lambda inner: st.lists(inner), max_leaves=30))
def test_both_syntaxes_read_the_same(syntax: str, value: Any) -> None:
    written = json.dumps({"a": value}, ensure_ascii=False).encode()
    assert parse_document(written, syntax=syntax).value == {"a": value}


def test_a_pointer_is_short_or_is_never_made() -> None:
    """Long keys above many values would make pointers of a gigabyte together."""
    deep = "".join(" " * level + "k" * 500 + f"{level}:\n" for level in range(50))
    wide = "".join(" " * 50 + f"- {number}\n" for number in range(9_000))
    places = parse_document((deep + wide).encode(), syntax="yaml").places
    assert len(next(iter(places))) == 0
