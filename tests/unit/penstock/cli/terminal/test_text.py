"""What reaches a terminal: never more than text, and nothing that lies."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from penstock.cli.terminal.text import clean, clean_output, escape_json, width
from tests.unit.texts import any_text


@pytest.mark.parametrize(
    "text,shown",
    [
        ("plain", "plain"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("right\u202eleft", "right\\u202eleft"),
        ("\x9b31m", "\\x9b31m"),
        ("作业", "作业"),
    ],
)
def test_names_show_control_characters_as_escapes(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    "text,shown",
    [
        ("\x1b[31mred\x1b[0m\n", "\x1b[31mred\x1b[0m\n"),
        ("\x1b[2J\x1b[Hcleared\n", "cleared\n"),
        ("\x1b]0;title\x07text\n", "text\n"),
        ("\x1b]52;c;c2VjcmV0\x1b\\text\n", "text\n"),
        ("10%\r20%\r30%\r\n", "30%\n"),
        ("a\tb\x00\x08\n", "a\tb\n"),
        ("half \x1b[", "half "),
    ],
)
def test_a_jobs_output_keeps_colours_and_loses_what_moves_the_cursor(text: str, shown: str) -> None:
    assert clean_output(text) == shown


@given(any_text())
def test_cleaned_text_is_one_line_without_controls(text: str) -> None:
    assert all(char.isprintable() or char not in "\n\r\x1b\x07\x9b" for char in clean(text))


@given(any_text())
def test_escaped_json_is_the_same_value(text: str) -> None:
    document = json.dumps({"a": text}, ensure_ascii=False)
    assert json.loads(escape_json(document)) == {"a": text}


def test_wide_characters_take_two_columns_and_marks_none() -> None:
    assert (width("ab"), width("作业"), width("e\u0301")) == (2, 4, 1)
