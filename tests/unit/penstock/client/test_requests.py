"""When a request may be sent again, and how routes are written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.client import routes
from penstock.client.connection import Connection, next_page
from penstock.client.errors import Unsendable, api_error
from penstock.client.requests import Failure, Request, RetryPolicy, retry_after_s

POLICY = RetryPolicy(attempts=4, first_delay_s=0.1, longest_delay_s=0.3)
READ: Request[None] = Request("GET", "/")
MAKE: Request[None] = Request("POST", "/tokens", repeatable=False)
LOST = Failure(sent=True)


@pytest.mark.parametrize(
    "make,names",
    [
        (lambda text: routes.read("jobs", text), "the name or id"),
        (lambda text: routes.read("jobs", params={"queue": text}), "queue"),
        (lambda text: routes.submit_job({}, text), "Idempotency-Key"),
        (lambda text: routes.put("queues", "q", body={}, etag=text), "If-Match"),
        (lambda text: Connection("http://127.0.0.1:1", text), "the token"),
    ],
)
def test_what_cannot_be_sent_is_an_error_that_names_it(
    make: Callable[[str], object], names: str
) -> None:
    with pytest.raises(Unsendable, match=names) as caught:
        make("caf\udce9")
    assert str(caught.value).isascii()
    assert make("cafe") is not None


@pytest.mark.parametrize("text", ["\u65e5\u672c", "a\nb", "caf\u00e9"])
def test_headers_are_printable_ascii_and_names_are_not(text: str) -> None:
    with pytest.raises(Unsendable, match="printable ASCII"):
        routes.submit_job({}, text)
    assert routes.read("jobs", text).path


def test_delays_double_with_jitter_up_to_the_longest() -> None:
    delays = [POLICY.delay_s(READ, LOST, failures, jitter=1.0) for failures in (1, 2, 3, 4)]
    assert delays == [0.1, 0.2, 0.3, None]
    assert POLICY.delay_s(READ, LOST, 1, jitter=0.0) == 0.05


def test_a_request_that_makes_something_is_repeated_only_if_it_was_never_sent() -> None:
    assert POLICY.delay_s(MAKE, Failure(sent=False), 1) is not None
    assert POLICY.delay_s(MAKE, LOST, 1) is None


@pytest.mark.parametrize("status,again", [(503, True), (429, True), (404, False), (500, False)])
def test_only_passing_states_of_the_server_are_tried_again(status: int, again: bool) -> None:
    delay_s = POLICY.delay_s(READ, Failure(sent=True, status=status), 1)
    assert (delay_s is not None) == again


def test_retry_after_is_obeyed_within_bounds() -> None:
    busy = Failure(sent=True, status=503, retry_after_s=0.25)
    assert POLICY.delay_s(READ, busy, 1) == 0.25
    assert retry_after_s("2") == 2.0
    assert retry_after_s("Wed, 21 Oct 2026 07:28:00 GMT") is None
    assert retry_after_s("-1") is None


def test_submissions_always_carry_an_idempotency_key() -> None:
    made = routes.submit_job({"type": "task"}).headers["Idempotency-Key"]
    assert len(made) == 32
    assert routes.submit_job({}).headers["Idempotency-Key"] != made
    assert routes.submit_job({}, "mine").headers["Idempotency-Key"] == "mine"


def test_a_retry_may_be_sent_again_because_it_carries_a_key() -> None:
    made = routes.retry_job("a")
    assert made.repeatable
    assert len(made.headers["Idempotency-Key"]) == 32


def test_names_cannot_leave_their_place_in_the_path() -> None:
    assert routes.read("jobs", "a/../b?c#d").path == "/api/v1/jobs/a%2F..%2Fb%3Fc%23d"
    for ref in ("", ".", ".."):
        with pytest.raises(ValueError, match="neither a name nor an id"):
            routes.read("jobs", ref)


def test_filters_that_are_not_set_are_left_out_and_lists_are_repeated() -> None:
    request = routes.read("jobs", params={"state": None, "label": ["a=1", "b=2"], "limit": 5})
    assert request.params == (("label", "a=1"), ("label", "b=2"), ("limit", "5"))


def test_the_next_page_keeps_the_filters_and_stops_on_a_cursor_that_repeats() -> None:
    request = routes.read("jobs", params={"state": "failed"})
    second = next_page(request, "abc")
    assert second is not None
    assert second.params == (("state", "failed"), ("cursor", "abc"))
    assert next_page(second, "abc") is None
    assert next_page(second, None) is None


@pytest.mark.parametrize("server", ["127.0.0.1:8470", "ftp://host", "http://", "nonsense"])
def test_an_address_without_scheme_and_host_is_refused(server: str) -> None:
    with pytest.raises(ValueError, match="is no server address"):
        Connection(server)


def test_a_connection_never_shows_its_token() -> None:
    assert "pst_secret" not in repr(Connection("http://127.0.0.1:1", "pst_secret"))


def test_an_answer_of_something_else_in_between_still_becomes_one_error() -> None:
    error = api_error(502, "text/html", b"<h1>Bad gateway</h1>", "/api/v1/jobs")
    assert error.code == "foreign_answer"
    assert error.problem.retryable
    assert "Bad gateway" in str(error)
