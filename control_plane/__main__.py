"""`python -m control_plane serve|migrate|openapi`: the control plane's own entry.

With SQLite `serve` is two processes. The parent stays in here, so nothing heavy is imported before.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from control_plane.server.watchdog import REFUSED, watched

if TYPE_CHECKING:
    import argparse

    from control_plane.settings import Settings


def main(argv: list[str] | None = None) -> int:
    """Parses the few options that people give; everything else is a setting."""
    words = sys.argv[1:] if argv is None else argv
    to_beat = watched() if "serve" in words and _is_alone() else None
    arguments = _parser().parse_args(words)
    from pydantic import ValidationError

    from control_plane.settings import load_settings
    from penstock.documents.sentences import sentence

    try:
        settings = load_settings(arguments.home, arguments.host, arguments.port, arguments.auth)
    except ValidationError as error:
        for problem in error.errors():
            where = "".join(f"{part}: " for part in problem["loc"])
            _print_line(f"penstock: {where}{sentence(problem)}", sys.stderr)
        return REFUSED
    return _run(arguments.command, settings, to_beat)


def _is_alone() -> bool:
    """Whether the database is SQLite, where no other server takes over from one that is frozen."""
    url = os.environ.get("PENSTOCK_SERVER_DATABASE_URL")  # before what reads settings is imported
    return not url or url.startswith("sqlite")


def _run(command: str, settings: Settings, to_beat: int | None) -> int:
    import json

    from control_plane import main as composition
    from control_plane.store.database.migrate import SchemaTooNew
    from control_plane.store.database.sole_writer import InUse
    from penstock.private_files import write_umask

    write_umask()
    try:
        if command == "serve":
            composition.serve(settings, to_beat)
        elif command == "migrate":
            composition.build(settings).close()
        else:
            app = composition.build_app(composition.build(settings))
            _print_line(json.dumps(app.openapi(), indent=1), sys.stdout)
    except (SchemaTooNew, InUse) as error:
        _print_line(f"penstock: {error}", sys.stderr)
        return REFUSED
    return 0


def _print_line(text: str, to: TextIO) -> None:
    to.write(text + "\n")


def _parser() -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(prog="python -m control_plane")
    parser.add_argument("command", choices=("serve", "migrate", "openapi"))
    parser.add_argument("--home", help="folder of the database, storage and tokens")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default 8470)")
    parser.add_argument(
        "--no-auth",
        dest="auth",
        action="store_false",
        default=None,
        help="loopback only: no tokens",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
