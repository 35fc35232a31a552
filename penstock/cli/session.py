"""What every command is given: its settings, its console, and a connection when it needs one."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from penstock.cli.config import Context, Settings, resolve
from penstock.cli.failures import CliError
from penstock.cli.terminal.console import Console

if TYPE_CHECKING:
    import typer

    from penstock.client.http import Http


@dataclass(frozen=True, slots=True)
class Session:
    """One run of the command. `tail` is what stood after `--`."""

    settings: Settings
    console: Console
    tail: tuple[str, ...] = ()
    _opened: list[Http] = field(default_factory=list)

    def with_settings(self, settings: Settings) -> Session:
        return replace(self, settings=settings, console=Console(color=settings.color))

    def http(self) -> Http:
        """The connection to the server of this run; opened once."""
        if not self._opened:
            self._opened.append(open_http(resolve(self.settings)))
        return self._opened[0]

    def close(self) -> None:
        for http in self._opened:
            http.close()


def session_of(ctx: typer.Context) -> Session:
    """The session that `main` put into Typer's context."""
    session: Any = ctx.obj
    assert isinstance(session, Session)
    return session


def open_http(context: Context, **options: Any) -> Http:
    """A connection to a context's server; `options` are those of Connection."""
    _skip_httpx_cli()
    from penstock.client.connection import Connection
    from penstock.client.http import Http

    try:
        return Http(Connection(context.server, context.token, **options))
    except ValueError as error:
        raise CliError("bad_server", str(error)) from error


def _skip_httpx_cli() -> None:
    """httpx imports a command line of its own, with three libraries, unless that import fails."""
    if "httpx" not in sys.modules:
        sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
