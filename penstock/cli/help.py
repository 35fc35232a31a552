"""Help without building the commands: their help texts, kept in a file beside this one.

Building a command to ask for its help takes three times as long as Python takes to start. The
file is made of the commands' own help by `python -m penstock.cli.reference --help-file`; a test
compares both. What is not in it is left to the command itself.
"""

from __future__ import annotations

import os.path

from penstock.cli.arguments import HELP, sort_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE = os.path.join(os.path.dirname(__file__), "help.txt")
MARK = "\f"  # begins a text; behind it stands the path of its command


def help_for(argv: Sequence[str]) -> str | None:
    """The help that these words ask for; None if they ask for none, or for one not kept."""
    words, _, _ = sort_arguments(argv)
    before_dashes = words[: words.index("--")] if "--" in words else words
    if HELP.isdisjoint(before_dashes):
        return None
    try:
        with open(FILE, encoding="utf-8") as file:
            texts = parse(file.read())
    except OSError:
        return None
    path = _path(_plain(before_dashes), texts)
    return None if path is None else texts[path]


def parse(content: str) -> dict[str, str]:
    """Help texts by path, for example `penstock job list`."""
    parts = (part.partition("\n") for part in content.split(MARK)[1:])
    return {path: text for path, _, text in parts}


def _plain(words: Sequence[str]) -> list[str]:
    """What stands between the global options in front and the next option."""
    position = 0
    while position < len(words) and words[position] not in HELP and words[position][:2] == "--":
        position += 1 if "=" in words[position] or words[position] == "--no-color" else 2
    plain = []
    for word in words[position:]:
        if word.startswith("-"):
            break
        plain.append(word)
    return plain


def _path(words: Sequence[str], texts: Mapping[str, str]) -> str | None:
    """The command that the words lead to; None for words that lead nowhere."""
    path = "penstock"
    for word in words:
        inner = f"{path} {word}"
        if inner in texts:
            path = inner
        elif any(known.startswith(path + " ") for known in texts):
            return None
        else:
            break
    return path if path in texts else None
