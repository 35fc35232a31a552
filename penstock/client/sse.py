"""Where a stream of server-sent events goes on after a cut. No network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from penstock.client.requests import Request, RetryPolicy

if TYPE_CHECKING:
    from httpx_sse import ServerSentEvent

END: Final = "end"
LAST_ID: Final = "Last-Event-ID"


@dataclass(slots=True)
class Resumption:
    """Keeps one stream going over many connections: no event twice, none left out.

    `patience_s` bounds how long the server may be away once the stream has begun; before that the
    ordinary retry policy holds.
    """

    request: Request[object]
    patience_s: float = 300.0
    begun: bool = False
    ended: bool = False
    _last_id: str | None = None
    _is_first: bool = True
    _failures: int = 0
    _away_since_s: float | None = None
    _retry_s: float | None = None

    def __post_init__(self) -> None:
        self._last_id = self.request.headers.get(LAST_ID)

    def next_request(self) -> Request[object]:
        """The request that goes on where the last connection ended."""
        self._is_first, self._retry_s = True, None
        if self._last_id is None:
            return self.request
        headers = {**self.request.headers, LAST_ID: self._last_id}
        params = tuple(pair for pair in self.request.params if pair[0] != "tail")
        return replace(self.request, headers=headers, params=params)

    def connected(self) -> None:
        """The server answered; what it sends now counts."""
        self.begun = True
        self._away_since_s = None

    def takes(self, event: ServerSentEvent) -> bool:
        """Whether the event is news: an end, a comment and the last one sent again are not."""
        self._failures = 0
        if event.retry is not None:
            self._retry_s = event.retry / 1000
        if event.event == END:
            self.ended = True
        if self.ended or not event.data:
            return False
        is_repeat = self._is_first and bool(event.id) and event.id == self._last_id
        self._is_first, self._last_id = False, event.id or self._last_id
        return not is_repeat

    def delay_s(self, now_s: float, policy: RetryPolicy) -> float | None:
        """After a cut at monotonic `now_s`: seconds until the next try, or None to give up."""
        self._failures += 1
        if self._away_since_s is None:
            self._away_since_s = now_s
        if not self.begun and self._failures >= policy.attempts:
            return None
        if now_s - self._away_since_s > self.patience_s:
            return None
        if self._retry_s is not None:
            return self._retry_s
        return policy.grown_s(self._failures, 1.0)
