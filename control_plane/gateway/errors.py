"""Errors of the OpenAI routes, in OpenAI's shape."""

from __future__ import annotations

from starlette.responses import JSONResponse


class GatewayError(Exception):
    """What an OpenAI client is told."""

    def __init__(
        self, status: int, message: str, kind: str, code: str, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.retry_after_s = retry_after_s

    def response(self) -> JSONResponse:
        body = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return JSONResponse({"error": body}, status_code=self.status, headers=headers)


def unknown_model(model: str, known: list[str]) -> GatewayError:
    there_are = f"there are: {', '.join(sorted(known))}" if known else "no endpoint is open"
    return GatewayError(
        404, f"The model {model[:200]!r} does not exist; {there_are}.",
        "invalid_request_error", "model_not_found",
    )  # fmt: skip


def too_slow(path: str) -> GatewayError:
    return GatewayError(
        504, f"The replica took too long to answer {path}.", "server_error", "replica_too_slow"
    )


def not_ready(model: str, chip_type: str | None) -> GatewayError:
    where = f" on {chip_type}" if chip_type else ""
    return GatewayError(
        503, f"No replica of {model!r}{where} is ready; see `penstock endpoint list`.",
        "server_error", "model_not_ready", retry_after_s=2,
    )  # fmt: skip
