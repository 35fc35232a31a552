"""Stays in the foreground with a local cloud: shows the server's log, stops all at the end."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Final, NoReturn

from penstock.cli.failures import CliError, ExitCode
from penstock.cli.local.home import Home
from penstock.cli.local.stopping import take_down
from penstock.cli.session import Session

_POLL_S: Final = 0.2


def stay(session: Session, home: Home) -> None:
    """Returns when told to end, with everything stopped. Raises CliError if the server ends."""
    signal.signal(signal.SIGTERM, _interrupt)
    session.console.note("in the foreground; ctrl-C stops everything")
    try:
        _show_log(session, home)
    except KeyboardInterrupt:
        session.console.note("stopping")
    else:
        raise CliError(
            "server_ended", f"the server ended; see {home.log('server')}", exit_code=ExitCode.FAILED
        )
    finally:
        for line in take_down(home):
            session.console.note(line)


def _show_log(session: Session, home: Home) -> None:
    """Copies what the server writes from now on, as long as it lives."""
    with home.log("server").open("rb") as log:
        log.seek(0, 2)
        while home.server() is not None:
            data = log.read()
            if data:
                session.console.output(data)
            time.sleep(_POLL_S)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
