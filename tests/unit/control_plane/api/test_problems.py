"""Problem documents: two kibibytes at most, the nearest value kept, all violations if they fit."""

from __future__ import annotations

import json

import pytest

from control_plane.api.problems import MAX_BYTES, fitted, problem_response
from control_plane.errors import (
    Conflict,
    Invalid,
    NotFound,
    PlatformError,
    QuotaExceeded,
    Unauthenticated,
    Unavailable,
)
from penstock.api.errors import Problem, Violation


def _problem(*violations: Violation) -> Problem:
    return Problem(
        type="urn:penstock:problem:invalid",
        title="t",
        status=422,
        detail="d",
        instance="/x",
        code="invalid",
        errors=list(violations),
        request_id="r",
    )


def test_many_allowed_values_are_cut_but_the_nearest_stays() -> None:
    allowed = [f"chip-type-with-a-long-name-{number}" for number in range(500)]
    wrong = [
        Violation(
            pointer=f"/resources/chip/{number}",
            message="unknown chip",
            received="x",
            allowed=allowed,
            did_you_mean=allowed[400],
        )
        for number in range(5)
    ]
    body = fitted(_problem(*wrong))
    document = json.loads(body)
    assert len(body) <= MAX_BYTES
    assert len(document["errors"]) == 5
    assert {one["did_you_mean"] for one in document["errors"]} == {allowed[400]}
    assert all(allowed[400] in one.get("allowed", [allowed[400]]) for one in document["errors"])


def test_too_many_violations_are_counted() -> None:
    wrong = [Violation(pointer=f"/{'p' * 150}/{number}", message="m" * 200) for number in range(20)]
    body = fitted(_problem(*wrong))
    document = json.loads(body)
    assert len(body) <= MAX_BYTES
    shown = len(document["errors"])
    assert 1 <= shown < 20
    assert f"{20 - shown} more" in document["detail"]


def test_text_that_utf8_cannot_carry_is_replaced() -> None:
    wrong = Violation(pointer="/a\ud800", message="bad", received="\udfff")
    assert json.loads(fitted(_problem(wrong)))["errors"][0]["pointer"] == "/a?"


@pytest.mark.parametrize(
    "error,status,retryable",
    [
        (Invalid("x"), 422, False), (NotFound("x"), 404, False), (Conflict("x"), 409, False),
        (Unauthenticated("x"), 401, False), (QuotaExceeded("x"), 429, True),
        (Unavailable("x"), 503, True), (PlatformError("x"), 500, False),
    ],
)  # fmt: skip
def test_each_error_has_its_number(error: PlatformError, status: int, retryable: bool) -> None:
    answer = problem_response(error, "/p", "req_1")
    document = json.loads(bytes(answer.body))
    assert (answer.status_code, document["status"], document["retryable"]) == (
        status,
        status,
        retryable,
    )
    assert answer.media_type == "application/problem+json"
    assert ("retry-after" in answer.headers) == retryable
    assert Problem.model_validate(document).code == error.code
