"""`python -m control_plane serve|migrate|openapi`: the control plane's own entry."""

from __future__ import annotations

import argparse
import json
import sys

from pydantic import ValidationError


def main(argv: list[str] | None = None) -> int:
    """Parses the few options that people give; everything else is a setting."""
    arguments = _parser().parse_args(argv)
    from control_plane.settings import Settings

    given = {key: getattr(arguments, key) for key in ("home", "host", "port")}
    try:
        settings = Settings(
            **{key: value for key, value in given.items() if value is not None},
            **({"auth": False} if arguments.no_auth else {}),
        )
    except ValidationError as error:
        for problem in error.errors():
            print(f"penstock: {problem['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        return 2
    return _run(arguments.command, settings)


def _run(command: str, settings: object) -> int:
    from control_plane import main as composition
    from control_plane.settings import Settings

    assert isinstance(settings, Settings)
    if command == "serve":
        composition.serve(settings)
    elif command == "migrate":
        composition.build(settings).close()
    else:
        app = composition.build_app(composition.build(settings))
        print(json.dumps(app.openapi(), indent=1))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m control_plane")
    parser.add_argument("command", choices=("serve", "migrate", "openapi"))
    parser.add_argument("--home", help="folder of the database, storage and tokens")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default 8470)")
    parser.add_argument("--no-auth", action="store_true", help="loopback only: no tokens")
    return parser


if __name__ == "__main__":
    sys.exit(main())
