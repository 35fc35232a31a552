"""What a body may not hold, wherever it stands."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from control_plane.api.bodies import unsafe_values
from tests.unit.texts import any_text

TEXT = st.text("ab/~é\u4e2d\U0001f600\n\x1b\x7f\uffff", max_size=6)


def _without_nul(text: str) -> str:
    return text.replace("\0", "")


SAFE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | any_text().map(_without_nul),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(any_text().map(_without_nul), inner)
    ),
    max_leaves=20,
)


@given(SAFE)
def test_ordinary_documents_pass(document: Any) -> None:
    assert list(unsafe_values(document)) == []


@given(SAFE, st.sampled_from(["a\0", "\ud800", "x\udfff", 2**63, -(2**70)]))
def test_one_bad_value_is_found_where_it_stands(document: Any, bad: Any) -> None:
    (found,) = unsafe_values({"outer": [document, {"in/ner": bad}]})
    assert found.pointer == "/outer/1/in~1ner"


def test_keys_are_looked_at_too() -> None:
    assert [one.pointer for one in unsafe_values({"a": {"b\0": 1}})] == ["/a/b\0"]
