"""Entry of the `penstock` command. Help is printed from a file, everything else is run.

Nothing is imported here before it is known to be needed: see `help`.
"""

from __future__ import annotations

import sys

from penstock.cli.help import help_for


def main() -> None:
    """Runs the command of this process and exits."""
    _open_streams()
    arguments = sys.argv[1:]
    text = help_for(arguments)
    if text is not None:
        sys.exit(_show(text))
    from penstock.cli.config import environment
    from penstock.cli.run import run
    from penstock.cli.terminal.console import silence_outputs

    code = run(arguments, environment())
    silence_outputs()
    sys.exit(code)


def _open_streams() -> None:
    """Python has None for a stream that the caller closed, as with `>&-`."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open("/dev/null", mode))  # noqa: SIM115 (open until the end)


def _show(text: str) -> int:
    """Prints help; whoever does not read it to its end misses nothing."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        from penstock.cli.terminal.console import silence_outputs

        silence_outputs()
    return 0
