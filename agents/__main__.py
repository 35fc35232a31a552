"""`python -m agents` runs the node agent; `python -m agents doctor` says what it would find."""

import sys

from agents.settings import hide_join_token


def _run(argv: list[str]) -> int:
    """Imports late: with a join token to hide the process starts anew before it has cost much."""
    if argv[:1] == ["doctor"]:
        from agents.doctor import main as doctor

        return doctor(argv[1:])
    hide_join_token(argv)
    from agents.main import main

    return main(argv)


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1:]))
