"""What may follow on a command line: commands, options, and names that the server knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from penstock.cli.config import resolve
from penstock.cli.failures import CliError
from penstock.cli.session import Session, open_http
from penstock.client.errors import ClientError

MAX_NAMES: Final = 200
TIMEOUT_S: Final = 1.0
# An argument's metavar says what it names; see `options`.
NOUNS: Final[Mapping[str, str]] = {
    "JOB": "jobs", "JOB...": "jobs", "NODE": "nodes", "CHIP": "chips", "QUEUE": "queues",
    "ENDPOINT": "endpoints", "TOKEN": "tokens",
}  # fmt: skip
# An option's metavar: the noun, and which of its fields may be values.
VALUES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "WISH": ("chip-types", ("type", "vendor")),
    "VENDOR": ("chip-types", ("vendor",)),
    "NODE": ("nodes", ("name",)),
}
SCRIPTS: Final[Mapping[str, str]] = {
    "bash": """\
_penstock() {
    local IFS=$'\\n'
    COMPREPLY=($(penstock complete-words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _penstock penstock
""",
    "zsh": """\
#compdef penstock
_penstock() {
    local -a found
    found=("${(@f)$(penstock complete-words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -- "${found[@]}"; else _files; fi
}
compdef _penstock penstock
""",
    "fish": """\
function __penstock_words
    set -l words (commandline -opc) (commandline -ct)
    penstock complete-words -- $words[2..-1] 2>/dev/null
end
complete -c penstock -a '(__penstock_words)'
""",
}


def candidates(session: Session, root: Any, words: Sequence[str]) -> list[str]:
    """Words that may stand in place of the last one; none where a file name may stand.

    `root` is Typer's command tree, of which only names and options are read.
    """
    *before, incomplete = words
    if "--" in before:
        return []
    command, rest = _walk(root, before)
    option = _option(command, before[-1]) if before else None
    if option is not None and not _is_flag(option):
        return _sorted(_values(session, option), incomplete)
    if rest and getattr(command, "commands", None):
        return []  # no such command
    if incomplete.startswith("-"):
        found = _options(root if command is root else command)
    elif getattr(command, "commands", None):
        found = [name for name, one in command.commands.items() if not one.hidden]
    else:
        found = _names(session, command, incomplete)
    return _sorted(found, incomplete)


def _sorted(found: Iterable[str], incomplete: str) -> list[str]:
    return sorted({name for name in found if name.startswith(incomplete)})


def _walk(root: Any, words: Sequence[str]) -> tuple[Any, list[str]]:
    """The command that the words lead to, and its arguments."""
    command, position = root, 0
    while position < len(words):
        word = words[position]
        inner = (getattr(command, "commands", None) or {}).get(word)
        if inner is not None:
            command = inner
            position += 1
        elif (option := _option(root, word)) is not None:
            position += 1 if _is_flag(option) else 2
        else:
            break
    return command, list(words[position:])


def _options(command: Any) -> list[str]:
    return [name for one in command.params for name in one.opts if name.startswith("--")]


def _option(command: Any, word: str) -> Any:
    return next((one for one in command.params if word in one.opts and word.startswith("-")), None)


def _is_flag(option: Any) -> bool:
    return bool(getattr(option, "is_flag", False))


def _values(session: Session, option: Any) -> list[str]:
    """Values of an option that the server knows: of a wish, chip types and vendors."""
    noun, fields = VALUES.get(option.metavar, ("", ()))
    return [str(one[name]) for one in (_items(session, noun) if noun else ()) for name in fields]


def _names(session: Session, command: Any, incomplete: str) -> list[str]:
    """Names of the objects that the command's argument names; ids where their prefix was typed."""
    noun = next((NOUNS[one.metavar] for one in command.params if one.metavar in NOUNS), None)
    if noun is None:
        return []
    found = _items(session, noun)
    by_id = noun in ("chips", "tokens") or incomplete.startswith(noun[:-1] + "_")
    return list(dict.fromkeys(str(one["id"] if by_id else one["name"]) for one in found))


def _items(session: Session, noun: str) -> list[dict[str, Any]]:
    """What the server has of these, at most so many; nothing where it does not answer at once."""
    from penstock.client import routes

    try:
        with open_http(resolve(session.settings), timeout_s=TIMEOUT_S) as http:
            return list(islice(http.items(routes.read(noun)), MAX_NAMES))
    except (ClientError, CliError):
        return []
