"""What every command is given: its settings, its console, and a connection when it needs one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from penstock.cli.config import Context, Settings, resolve
from penstock.cli.failures import CliError
from penstock.cli.terminal.console import Console

if TYPE_CHECKING:
    from penstock.client.synchronous import DocumentClient

NUM_KEPT: Final = 16
"""Answers, mostly pages, that a watch asks for again."""


@dataclass(frozen=True, slots=True)
class Session:
    """One run of the command. `tail` is what stood after `--`."""

    settings: Settings
    console: Console
    tail: tuple[str, ...] = ()
    _opened: list[DocumentClient] = field(default_factory=list)

    def with_settings(self, settings: Settings) -> Session:
        return replace(self, settings=settings, console=Console(color=settings.color))

    def api(self) -> DocumentClient:
        """The client for the server of this run; opened once."""
        if not self._opened:
            self._opened.append(open_api(resolve(self.settings), num_kept=NUM_KEPT))
        return self._opened[0]

    def close(self) -> None:
        for api in self._opened:
            api.close()


def open_api(context: Context, **options: Any) -> DocumentClient:
    """A client for a context's server; `options` are those of Connection."""
    from penstock.client.connection import Connection
    from penstock.client.errors import Unsendable
    from penstock.client.synchronous import DocumentClient

    try:
        return DocumentClient(Connection(context.server, context.token, **options))
    except Unsendable:
        raise
    except ValueError as error:
        raise CliError("bad_server", str(error)) from error


def open_probe(context: Context) -> DocumentClient:
    """A client that asks once and gives up soon: not being there is an answer."""
    from penstock.client.requests import RetryPolicy

    return open_api(context, timeout_s=5.0, retry=RetryPolicy(attempts=1))
