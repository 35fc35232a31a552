"""How the words of a command line are sorted before anything is built."""

from __future__ import annotations

import pytest

from penstock.cli.arguments import sort_arguments


@pytest.mark.parametrize(
    "words,sorted_words,branch,tail",
    [
        ("job list", "job list", "job", ""),
        ("job list --home h --no-color", "--home h --no-color job list", "job", ""),
        ("job --server=s list", "--server=s job list", "job", ""),
        ("--context c status", "--context c status", "status", ""),
        ("job submit -- echo --home x", "job submit", "job", "echo --home x"),
        ("--home h job submit f -- a -- b", "--home h job submit f", "job", "a -- b"),
        ("plan --chips 1 -- true", "plan --chips 1", "plan", "true"),
        ("job get -- -x", "job get -- -x", "job", ""),
        ("--help", "--help", "--help", ""),
        ("", "", "", ""),
        ("up --home", "--home up", "up", ""),
    ],
)
def test_global_options_go_first_and_a_command_stays_whole(
    words: str, sorted_words: str, branch: str, tail: str
) -> None:
    found = sort_arguments(words.split())
    assert found == (sorted_words.split(), branch, tuple(tail.split()))
