"""What can be wrong with a request before any service sees it."""

from __future__ import annotations

from control_plane.errors import PlatformError
from penstock.api.errors import Violation


class Malformed(PlatformError):
    """The body or a header cannot be read at all."""

    code = "malformed"


class SlowBody(PlatformError):
    """The body did not arrive in time."""

    code = "slow_body"


class TooLarge(PlatformError):
    """The body is longer than this route takes."""

    code = "too_large"


class UriTooLong(PlatformError):
    """The address is longer than any of ours."""

    code = "uri_too_long"


class HeadersTooLarge(PlatformError):
    """There are more headers, or longer ones, than are read."""

    code = "headers_too_large"


class UnsupportedMedia(PlatformError):
    """The body is in a format that this route does not read."""

    code = "unsupported_media_type"


class UnknownPath(PlatformError):
    """There is no such route."""

    code = "no_such_path"


class MethodNotAllowed(PlatformError):
    """The route exists, but not with this method."""

    code = "method_not_allowed"

    def __init__(self, message: str, *, received: str, allowed: list[str]) -> None:
        violation = Violation(
            pointer="", message="method not allowed here", received=received, allowed=allowed
        )
        super().__init__(
            message, hint=f"this path takes {', '.join(allowed)}", violations=[violation]
        )
        self.allowed = allowed
