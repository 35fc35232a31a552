"""The reference of all commands as Markdown, made of their own help.

`python -m tests.contract.cli_reference > docs/guides/cli.md` writes the guide anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

import click

from penstock.cli.app import root

WIDTH: Final = 80
_HEAD: Final = """\
# The `penstock` command

Made from the command's own help by `python -m tests.contract.cli_reference`; do not edit.

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
    sections = [f"## `{path}`\n\n```text\n{text}```" for path, text in _helps(root(), "penstock")]
    return "\n".join([_HEAD, "\n\n".join(sections), ""])


def _helps(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """The help text of every command by its path."""
    context = click.Context(command, parent, name, terminal_width=WIDTH, **command.context_settings)
    yield context.command_path, command.get_help(context).rstrip() + "\n"
    if isinstance(command, click.Group):
        for inner_name in command.list_commands(context):
            inner = command.get_command(context, inner_name)
            if inner is not None:
                yield from _helps(inner, inner_name, context)


if __name__ == "__main__":
    sys.stdout.write(reference())
