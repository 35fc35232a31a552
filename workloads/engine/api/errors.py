"""What is answered when a request cannot be served, in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Document = dict[str, Any]
"""An answer, or a part of one, on its way to JSON."""


class ApiError(Exception):
    """An answer other than 200: HTTP status and the fields of OpenAI's error object."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> Mapping[str, str]:
        return {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}

    def document(self) -> Document:
        kind = _TYPES.get(self.status, "invalid_request_error")
        fields = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": fields}


_TYPES: Mapping[int, str] = {429: "rate_limit_error", 500: "server_error", 503: "server_error"}


def bad_request(message: str, param: str | None, code: str | None = None) -> ApiError:
    return ApiError(400, message, param=param, code=code or "invalid_value")


def unknown_model(name: str, served: str) -> ApiError:
    message = f"The model `{name}` does not exist here; this replica serves `{served}`."
    return ApiError(404, message, param="model", code="model_not_found")


def not_offered(path: str, offered: Sequence[str]) -> ApiError:
    message = (
        f"This model's engine does not offer POST {path[:200]}; it offers {' and '.join(offered)}."
    )
    return ApiError(404, message, code="operation_not_offered")


def context_overflow(param: str, num_prompt: int, max_tokens: int, context: int) -> ApiError:
    wanted = num_prompt + max_tokens
    message = (
        f"This model's maximum context length is {context} tokens. However, you requested {wanted} "
        f"tokens ({num_prompt} in the prompt, {max_tokens} for the completion)."
    )
    return bad_request(message, param, "context_length_exceeded")


def busy() -> ApiError:
    message = "All places in this replica's queue are taken; try again."
    return ApiError(429, message, code="queue_full", retry_after_s=1)


def not_ready(state: str) -> ApiError:
    message = f"This replica is {state}; try another one."
    return ApiError(503, message, code=state, retry_after_s=1)


def internal() -> ApiError:
    return ApiError(500, "The engine failed while it worked on this request.", code="engine_error")


def client_gone() -> ApiError:
    """Nobody reads it; 499 is what proxies log for this."""
    return ApiError(499, "The client closed the connection.", code="client_gone")
