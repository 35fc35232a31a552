"""How the words of a command line are sorted before anything is built."""

from __future__ import annotations

import pytest

from penstock.cli.arguments import sort_arguments


@pytest.mark.parametrize(
    "words,sorted_words,tail",
    [
        ("job list", "job list", ""),
        ("job list --home h --no-color", "--home h --no-color job list", ""),
        ("job --server=s list", "--server=s job list", ""),
        ("--context c status", "--context c status", ""),
        ("job submit -- echo --home x", "job submit", "echo --home x"),
        ("--home h job submit f -- a -- b", "--home h job submit f", "a -- b"),
        ("plan --chips 1 -- true", "plan --chips 1", "true"),
        ("job get -- -x", "job get -- -x", ""),
        ("--help", "--help", ""),
        ("", "", ""),
        ("up --home", "--home up", ""),
    ],
)
def test_global_options_go_first_and_a_command_stays_whole(
    words: str, sorted_words: str, tail: str
) -> None:
    found = sort_arguments(words.split())
    assert found == (sorted_words.split(), tuple(tail.split()))
