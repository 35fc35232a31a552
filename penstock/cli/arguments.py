"""Sorts the words of a command line, before anything reads them."""

from __future__ import annotations

from collections.abc import Sequence

GLOBAL_FLAGS = frozenset({"--no-color"})
GLOBAL_VALUES = frozenset({"--home", "--server", "--context"})
# Commands that run what stands after `--`; to all others it is arguments like any.
TAKE_A_COMMAND = (["job", "submit"], ["plan"])


def sort_arguments(argv: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """(arguments with the global options in front, the command after `--`)."""
    words = list(argv)
    split = words.index("--") if "--" in words else len(words)
    front, rest = _global_first(words[:split])
    if any(rest[: len(path)] == path for path in TAKE_A_COMMAND):
        return [*front, *rest], tuple(words[split + 1 :])
    return [*front, *rest, *words[split:]], ()


def _global_first(words: Sequence[str]) -> tuple[list[str], list[str]]:
    front: list[str] = []
    rest: list[str] = []
    position = 0
    while position < len(words):
        name, equals, _ = words[position].partition("=")
        taken = 2 if name in GLOBAL_VALUES and not equals else 1
        target = front if name in GLOBAL_FLAGS | GLOBAL_VALUES else rest
        target.extend(words[position : position + taken])
        position += taken
    return front, rest
