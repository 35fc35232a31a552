"""Entry of the `penstock` command."""

from __future__ import annotations

import sys

from penstock.cli.config import COMPLETE, environment
from penstock.cli.run import complete, run
from penstock.cli.terminal.console import silence_outputs


def main() -> None:
    """Runs the command of this process and exits."""
    _open_streams()
    environ = environment()
    code = complete(environ) if COMPLETE in environ else run(sys.argv[1:], environ)
    silence_outputs()
    sys.exit(code)


def _open_streams() -> None:
    """Python has None for a stream that the caller closed, as with `>&-`."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open("/dev/null", mode))  # noqa: SIM115 (open until the end)
