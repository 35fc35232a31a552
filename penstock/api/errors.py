"""The one shape of every error: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from pydantic import Field

from penstock.api.base import View


class Violation(View):
    """One thing wrong with the input."""

    pointer: str = Field(description="JSON pointer to the field, or ?name for a query parameter")
    message: str
    received: object = None
    allowed: list[str] | None = None
    did_you_mean: str | None = None


class Problem(View):
    """What went wrong, where, and what to do next."""

    type: str = Field(description="stable address of this kind of problem")
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[Violation] = Field(default_factory=list)
    hint: str | None = None
    request_id: str
    retryable: bool = False
