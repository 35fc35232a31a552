"""The one shape of every error: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from pydantic import Field, JsonValue

from penstock.api.base import View


class Violation(View):
    """One thing wrong with the input."""

    pointer: str = Field(description="JSON pointer to the field, or ?name for a query parameter")
    message: str
    code: str = Field("said", description="which message it is; the same in every language")
    params: dict[str, JsonValue] = Field(default_factory=dict, description="what it is made of")
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
    params: dict[str, JsonValue] = Field(
        default_factory=dict, description="what the detail and the hint are made of"
    )
    hint: str | None = None
    request_id: str
    retryable: bool = False
