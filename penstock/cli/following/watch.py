"""Waits for what the server says has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self

from penstock.cli.config import resolve
from penstock.cli.session import Session, open_api
from penstock.client.errors import ClientError
from penstock.client.requests import Document

if TYPE_CHECKING:
    from penstock.client.synchronous import DocumentClient

AGAIN_S: Final = 1.0
Concerns = Callable[[Document], bool]
"""Whether one change is about what is watched."""


def of_nouns(*nouns: str) -> Concerns:
    return lambda change: change["noun"] in nouns


def of_jobs(*ids: str) -> Concerns:
    return lambda change: change["id"] in ids


class Watch:
    """Follows the change feed in a thread, from the first wait to the end of a with block.

    `patient` goes on where the server is away for long: to be away is news then.
    """

    def __init__(self, session: Session, concerns: Concerns, *, patient: bool = False) -> None:
        self._session = session
        self._concerns = concerns
        self._patient = patient
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._api: DocumentClient | None = None
        self._error: ClientError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Whoever waits goes on."""
        self._closed.set()
        self._woken.set()
        if self._api is not None:
            self._api.close()

    @property
    def is_open(self) -> bool:
        return not self._closed.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether something changed since the wait before; the first one says yes as soon as the
        feed has begun. Raises what ended the feed.
        """
        if self._api is None:
            self._api = open_api(resolve(self._session.settings))
            self._thread.start()
        woken = self._woken.wait(timeout_s)
        self._woken.clear()
        if self._error is not None:
            raise self._error
        return woken

    def _run(self) -> None:
        assert self._api is not None, "the first wait has opened it"
        while self.is_open:
            try:
                self._follow(self._api)
            except ClientError as error:
                self._error = None if self._patient else error
                self._woken.set()
                if not self._patient:
                    return
                self._closed.wait(AGAIN_S)
            except RuntimeError:  # httpx: somebody closed it meanwhile
                if self.is_open:
                    raise

    def _follow(self, api: DocumentClient) -> None:
        for message in api.changes():
            if not self.is_open:
                return
            if message["reset"] or any(map(self._concerns, message["changes"])):
                self._woken.set()
