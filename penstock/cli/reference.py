"""The reference of all commands as Markdown, made of their own help.

`python -m penstock.cli.reference > docs/guides/cli.md` writes the guide anew, and with
`--help-file > penstock/cli/help.txt` the file that help is printed from.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

import typer.main

from penstock.cli.app import build
from penstock.cli.help import MARK

WIDTH: Final = 80
_HEAD: Final = """\
# The `penstock` command

Made from the command's own help by `python -m penstock.cli.reference`; do not edit.

Results go to stdout, everything else to stderr. `-o table|wide|json|yaml|name` chooses how results
are shown; JSON is one line where stdout is not a terminal. Settings come from options, then from
`PENSTOCK_HOME`, `PENSTOCK_SERVER`, `PENSTOCK_TOKEN`, `PENSTOCK_CONTEXT`, then from the saved login.
`NO_COLOR` and `--no-color` turn colours off; there are none where stdout is not a terminal.

| Exit code | Meaning |
|---|---|
| 0 | done |
| 1 | failed: also a job that was waited for and did not succeed |
| 2 | usage: options, files and specs that are not valid |
| 3 | not found |
| 4 | denied: no token, a wrong one, or one without the right |
| 5 | unreachable: no server answers |
| 130 | interrupted with ctrl-C |

With `--exit-status`, `job wait` and `job submit --follow` return the job's own exit code instead.
"""


def reference() -> str:
    """The whole guide."""
    sections = [f"## `{path}`\n\n```text\n{text}```" for path, text in helps().items()]
    return "\n".join([_HEAD, "\n\n".join(sections), ""])


def help_file() -> str:
    """What `help` reads."""
    return "".join(f"{MARK}{path}\n{text}" for path, text in helps().items())


def helps() -> dict[str, str]:
    """The help text of every command by its path."""
    return dict(_walk(typer.main.get_command(build()), "penstock"))


def _walk(command: Any, name: str, parent: Any = None) -> Iterator[tuple[str, str]]:
    settings = {**command.context_settings, "terminal_width": WIDTH}
    context = typer.Context(command, info_name=name, parent=parent, **settings)
    yield context.command_path, command.get_help(context).rstrip() + "\n"
    for inner_name, inner in (getattr(command, "commands", None) or {}).items():
        if not inner.hidden:
            yield from _walk(inner, inner_name, context)


if __name__ == "__main__":
    sys.stdout.write(help_file() if "--help-file" in sys.argv else reference())
