"""Every error becomes one message and one exit code."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cli.failures import CliError, ExitCode, exit_code_of, render
from penstock.client.errors import (
    ApiError,
    BadReference,
    ClientError,
    ConnectionFailed,
    WaitTimeout,
)
from penstock.documents import Place


def refused(status: int, **fields: Any) -> ApiError:
    return ApiError(status, {"code": "some_code", "detail": "what happened", **fields})


@pytest.mark.parametrize(
    "status,code",
    [(400, 2), (401, 4), (403, 4), (404, 3), (405, 2), (409, 1), (412, 1), (413, 2), (422, 2),
     (429, 1), (500, 1), (502, 5), (503, 5)],
)  # fmt: skip
def test_statuses_map_to_exit_codes(status: int, code: int) -> None:
    assert exit_code_of(refused(status)) == code


@pytest.mark.parametrize(
    "error,code",
    [
        (ConnectionFailed("http://x", "refused"), ExitCode.UNREACHABLE),
        (BadReference("`..` is no name"), ExitCode.USAGE),
        (WaitTimeout("too long"), ExitCode.FAILED),
        (CliError("x", "y"), ExitCode.USAGE),
    ],
)
def test_errors_of_the_client_map_to_exit_codes(
    error: CliError | ClientError, code: ExitCode
) -> None:
    assert exit_code_of(error) == code
    assert "[" in render(error)


def test_one_violation_is_one_line_with_place_nearest_name_and_code() -> None:
    violation = {
        "pointer": "/train/stpes", "message": "unknown field `stpes`", "did_you_mean": "steps",
        "allowed": ["steps", "data"],
    }  # fmt: skip
    error = CliError(
        "invalid",
        "not valid",
        errors=[violation],
        source="job.yaml",
        places={"/train": Place(2, 1), "/train/stpes": Place(3, 3)},
    )
    assert render(error) == (
        "error: job.yaml:3:3: /train/stpes: unknown field `stpes`; did you mean `steps`? "
        "(allowed: steps, data) [invalid]"
    )


def test_several_violations_come_below_one_headline() -> None:
    errors = [
        {"pointer": "/a", "message": "must be a number", "received": "x"},
        {"pointer": "/b", "message": "the field `b` is needed"},
    ]
    lines = render(refused(422, errors=errors, hint="look", request_id="req-1")).splitlines()
    assert lines == [
        "error: what happened [some_code]",
        "  /a: must be a number, not 'x'",
        "  /b: the field `b` is needed",
        "  hint: look",
        "  request: req-1",
    ]


def test_a_missing_field_is_placed_at_what_it_is_missing_from() -> None:
    violation = {"pointer": "/task/command", "message": "the field `command` is needed"}
    error = CliError("invalid", "x", errors=[violation], source="-", places={"/task": Place(4, 1)})
    assert render(error).startswith("error: -:4:1: /task/command: ")


def test_what_the_server_says_cannot_drive_the_terminal() -> None:
    assert "\x1b" not in render(refused(404, detail="\x1b[2J", hint="\x1b]0;x\x07"))


def test_an_unreachable_server_says_how_to_start_one() -> None:
    assert "penstock up" in render(ConnectionFailed("http://127.0.0.1:1", "connection refused"))


def test_a_denied_request_says_how_to_log_in() -> None:
    assert "penstock login" in render(refused(401))
