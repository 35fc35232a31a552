"""Calls into code that may fail or hang, so that neither reaches the caller.

A vendor's library can block for minutes on a sick device. Each call gets a thread and a time
limit; while an earlier call still hangs, later ones are refused at once and no thread is added.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog

log = structlog.get_logger()

T = TypeVar("T")
R = TypeVar("R")
Expected = tuple[type[Exception], ...]
BUILD_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call gave no result."""

    reason: str


class Isolated(Generic[T]):
    """One collaborator whose failures stay its own."""

    def __init__(self, name: str, target: T, expected: Expected = ()) -> None:
        self._name = name
        self._target = target
        self._expected = expected
        self._running: threading.Thread | None = None
        self._turn = threading.Lock()

    @classmethod
    def build(
        cls, name: str, make: Callable[[], T], expected: Expected = ()
    ) -> Isolated[T] | Failure:
        """The collaborator that `make` returns, or why it could not be made.

        `expected` are the errors whose text says enough; any other is logged with its traceback.
        """
        made = Isolated(name, make, expected).call(lambda make: make(), BUILD_TIMEOUT_S)
        return made if isinstance(made, Failure) else cls(name, made, expected)

    def call(self, ask: Callable[[T], R], timeout_s: float) -> R | Failure:
        """The result of `ask`, or why there is none: it raised, or took longer than allowed.

        Callers take turns; each waits no longer than its own time limit for its turn.
        """
        if not self._turn.acquire(timeout=timeout_s):
            return Failure(f"no answer within {timeout_s:g} s")
        try:
            return self._call(ask, timeout_s)
        finally:
            self._turn.release()

    def _call(self, ask: Callable[[T], R], timeout_s: float) -> R | Failure:
        if self._running is not None and self._running.is_alive():
            return Failure("an earlier call has not returned; its driver or library hangs")
        answer: list[R | Failure] = []
        thread = threading.Thread(
            target=lambda: answer.append(self._attempt(ask)),
            name=f"chips-{self._name}",
            daemon=True,
        )
        self._running = thread
        thread.start()
        thread.join(timeout_s)
        return answer[0] if answer else Failure(f"no answer within {timeout_s:g} s")

    def _attempt(self, ask: Callable[[T], R]) -> R | Failure:
        try:
            return ask(self._target)
        except self._expected as error:
            log.warning("chip_provider_failed", provider=self._name, error=str(error))
            return Failure(str(error) or type(error).__name__)
        except Exception as error:  # process loop: one vendor never hides another
            log.exception("chip_provider_broken", provider=self._name)
            return Failure(f"{type(error).__name__}: {error}")
