"""Server-sent events: reading them from bytes, and where to go on after a cut. No network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from penstock.client.requests import Request, RetryPolicy

END: Final = "end"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream. `id` is opaque; it goes back as Last-Event-ID."""

    id: str | None
    name: str
    data: str


@dataclass(slots=True)
class EventReader:
    """Splits the bytes of one connection into events; a cut event at the end is dropped.

    Lines end in LF, CR LF or CR as the specification says. They are split as bytes, since text
    splitting would also break at U+2028 and its like, which JSON leaves unescaped.
    """

    _rest: bytes = b""
    _id: str | None = None
    _name: str = ""
    _data: list[str] = field(default_factory=list)
    retry_s: float | None = None

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """Events completed by these bytes."""
        text = (self._rest + chunk).replace(b"\r\n", b"\n")
        if text.endswith(b"\r"):  # its LF may be in the next chunk
            text, held = text[:-1], b"\r"
        else:
            held = b""
        *lines, rest = text.replace(b"\r", b"\n").split(b"\n")
        self._rest = rest + held
        for line in lines:
            event = self._line(line.decode("utf-8", "replace"))
            if event is not None:
                yield event

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isdigit():
            self.retry_s = int(value) / 1000
        return None

    def _dispatch(self) -> ServerEvent | None:
        name, data, id_ = self._name, self._data, self._id
        self._name, self._data, self._id = "", [], None
        if not data and name != END:
            return None
        return ServerEvent(id_, name or "message", "\n".join(data))


@dataclass(slots=True)
class Resumption:
    """Keeps one stream going over many connections: no event twice, none left out.

    `patience_s` bounds how long the server may be away once the stream has begun; before that the
    ordinary retry policy holds.
    """

    request: Request
    last_id: str | None = None
    patience_s: float = 300.0
    begun: bool = False
    ended: bool = False
    _failures: int = 0
    _away_since_s: float | None = None
    _reader: EventReader = field(default_factory=EventReader)

    def next_request(self) -> Request:
        """The request that goes on where the last connection ended."""
        self._reader = EventReader()
        if self.last_id is None:
            return self.request
        headers = {**self.request.headers, "Last-Event-ID": self.last_id}
        params = tuple(pair for pair in self.request.params if pair[0] != "tail")
        return replace(self.request, headers=headers, params=params)

    def connected(self) -> None:
        """The server answered; what it sends now counts."""
        self.begun = True
        self._away_since_s = None

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """New events in these bytes; a repeat of the last one is dropped."""
        self._failures = 0
        for event in self._reader.feed(chunk):
            if event.name == END:
                self.ended = True
                return
            if event.id is None or event.id != self.last_id:
                self.last_id = event.id or self.last_id
                yield event

    def delay_s(self, now_s: float, policy: RetryPolicy) -> float | None:
        """After a cut at monotonic `now_s`: seconds until the next try, or None to give up."""
        self._failures += 1
        if self._away_since_s is None:
            self._away_since_s = now_s
        if not self.begun and self._failures >= policy.attempts:
            return None
        if now_s - self._away_since_s > self.patience_s:
            return None
        if self._reader.retry_s is not None:
            return self._reader.retry_s
        grown = policy.first_delay_s * 2.0 ** min(self._failures - 1, 20)
        return min(grown, 1.0)
