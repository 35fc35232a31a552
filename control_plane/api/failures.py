"""What can be wrong with a request before any service sees it."""

from __future__ import annotations

from control_plane.errors import PlatformError
from penstock.catalogue.violation import violation


class Malformed(PlatformError):
    """The body or a header cannot be read at all."""


class SlowBody(PlatformError):
    """The body did not arrive in time."""


class TooLarge(PlatformError):
    """The body is longer than this route takes."""


class UriTooLong(PlatformError):
    """The address is longer than any of ours."""


class HeadersTooLarge(PlatformError):
    """There are more headers, or longer ones, than are read."""


class UnsupportedMedia(PlatformError):
    """The body is in a format that this route does not read."""


class UnknownPath(PlatformError):
    """There is no such route."""


class MethodNotAllowed(PlatformError):
    """The route exists, but not with this method."""

    def __init__(self, path: str, method: str, allowed: list[str]) -> None:
        found = violation("", "not_allowed_here", received=method, allowed=allowed)
        super().__init__(
            "method_not_allowed", path=path, method=method, allowed=allowed, violations=[found]
        )
        self.allowed = allowed
