"""By which address other machines reach this server: its operator's word, or a good guess."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from penstock.addresses import bracketed, is_loopback, outward


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the server listens, and the address that its operator made known, if any."""

    host: str = "127.0.0.1"
    public_url: str | None = None

    def address(self, request: Request, reached_at: str | None) -> str:
        """`reached_at` is how the caller says that it reaches us: a proxy may hide that from us."""
        known = self.public_url or reached_at
        return known.rstrip("/") if known else self._of(request)

    def _of(self, request: Request) -> str:
        """As the request came, unless that was over loopback and we listen elsewhere too."""
        host, port = request.url.hostname or "", request.url.port
        if is_loopback(host) and not is_loopback(self.host):
            host = outward(self.host)
        return f"{request.url.scheme}://{bracketed(host)}{'' if port is None else f':{port}'}"
