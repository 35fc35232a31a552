"""How a server is reached, and what httpx's answers and failures mean. Shared by both clients."""

from __future__ import annotations

import json
import re
import ssl
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import httpx

from penstock import __version__
from penstock.addresses import host_of, is_loopback
from penstock.client.errors import ClientError, ConnectionFailed, api_error
from penstock.client.requests import (
    RETRYABLE_STATUS,
    Answer,
    Document,
    Failure,
    Request,
    RetryPolicy,
    check_text,
    retry_after_s,
)


@dataclass(frozen=True, slots=True)
class Connection:
    """Address, credential and patience. `ca_file` pins the server's certificate authority."""

    server: str
    token: str | None = field(default=None, repr=False)
    timeout_s: float = 30.0
    silence_s: float = 60.0
    """A stream that brings not even a comment for this long is taken up anew."""
    patience_s: float = 300.0
    """How long a stream that has begun waits for a server that went away."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    ca_file: str | None = None
    num_kept: int = 0
    """Answers that are kept, so that they are sent again only where they changed."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"`{self.server}` is no server address such as http://127.0.0.1:8470")
        check_text("the token", self.token or "", ascii_only=True)

    def httpx_options(self) -> Document:
        """Arguments of both httpx clients."""
        headers = {"User-Agent": f"penstock/{__version__}", "Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return {
            "base_url": self.server.rstrip("/"),
            "headers": headers,
            "timeout": httpx.Timeout(self.timeout_s, connect=min(5.0, self.timeout_s)),
            "verify": self._trust(),
            # A proxy of the environment must not see what goes to this machine itself.
            "trust_env": not is_loopback(host_of(self.server)),
            "limits": httpx.Limits(max_connections=64, max_keepalive_connections=16),
        }

    def arguments(self, request: Request[object]) -> Document:
        """Arguments of httpx's `request` and `stream`."""
        headers, content = dict(request.headers), None
        if request.body is not None:
            # ASCII escapes carry what UTF-8 cannot, so that the server gets to refuse it.
            content = json.dumps(request.body, allow_nan=False).encode("ascii")
            headers["Content-Type"] = "application/json"
        return {
            "method": request.method,
            "url": request.path,
            "params": list(request.params) or None,
            "content": content,
            "headers": headers,
        }

    def stream_timeout(self) -> httpx.Timeout:
        return httpx.Timeout(self.timeout_s, connect=5.0, read=self.silence_s)

    def failed(self, error: httpx.RequestError) -> Trouble:
        """What a request that brought no answer means."""
        unsent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
        reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
        return Trouble(
            ConnectionFailed(self.server, reason[:1].lower() + reason[1:]),
            Failure(sent=not isinstance(error, unsent)),
        )

    def outcome(self, response: httpx.Response, content: bytes) -> Answer | Trouble:
        """The answer if it is a good one."""
        if response.is_success:
            return Answer(response.status_code, dict(response.headers), content)
        return self.trouble(response, content)

    def trouble(self, response: httpx.Response, content: bytes) -> Trouble:
        """What an answer that is no good one means."""
        content_type = response.headers.get("content-type", "")
        return Trouble(
            api_error(response.status_code, content_type, content, str(response.url.path)),
            Failure(
                sent=True,
                status=response.status_code,
                retry_after_s=retry_after_s(response.headers.get("retry-after")),
            ),
        )

    def _trust(self) -> ssl.SSLContext | bool:
        if self.server.startswith("http:"):
            # Plain HTTP needs no trusted roots, and reading them takes 40 ms. A context that
            # trusts nobody stays safe should anything turn to TLS after all.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file else True


@dataclass(frozen=True, slots=True)
class Trouble:
    """A failed try: the error to raise if it is the last, and what a retry needs to know."""

    error: ClientError
    failure: Failure

    @property
    def passing(self) -> bool:
        """True where a later try may find the server well."""
        return self.failure.status is None or self.failure.status in RETRYABLE_STATUS


class StreamCut(Exception):
    """The stream's connection ended before the stream did."""

    def __init__(self, error: ClientError) -> None:
        super().__init__(str(error))
        self.error = error


def raise_trouble(outcome: Answer | Trouble) -> None:
    """Refuses to stream: a StreamCut where trying again may help, else the error itself."""
    if isinstance(outcome, Trouble):
        raise StreamCut(outcome.error) if outcome.passing else outcome.error


def next_page(request: Request[object], cursor: str | None) -> Request[object] | None:
    """The request for the page after this one, None after the last."""
    kept = tuple(pair for pair in request.params if pair[0] != "cursor")
    if not cursor or ("cursor", cursor) in request.params:
        return None
    return replace(request, params=(*kept, ("cursor", cursor)))
