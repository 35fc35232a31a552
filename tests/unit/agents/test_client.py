"""What the control plane's answers, or their absence, mean to the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from agents.client import ControlPlane, Denied, Refused, Unreachable
from penstock.api.assignments import LogRequest, ReportReply, ReportRequest

EMPTY = ReportRequest(observations=())
Handler = Callable[[httpx.Request], httpx.Response]


def report(handler: Handler) -> ReportReply:
    http = httpx.AsyncClient(base_url="http://test", transport=httpx.MockTransport(handler))
    return asyncio.run(ControlPlane(http, "secret").report(EMPTY))


def answers(status: int, **kwargs: object) -> Handler:
    return lambda _: httpx.Response(status, **kwargs)  # type: ignore[arg-type]


def test_every_request_carries_the_nodes_credential() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"accepted": ["replica_1"], "later_field": 1})

    assert report(handler).accepted == ("replica_1",)
    assert seen[0].headers["Authorization"] == "Bearer secret"
    assert seen[0].url.path == "/api/v1/agent/reports"


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_busy_server_is_unreachable_and_may_say_when_to_come_back(status: int) -> None:
    with pytest.raises(Unreachable) as caught:
        report(answers(status, headers={"Retry-After": "7"}))
    assert caught.value.retry_after_s == 7


def test_an_unknown_credential_is_denied() -> None:
    with pytest.raises(Denied):
        report(answers(401))


def test_a_refusal_keeps_its_code_and_every_violation() -> None:
    problem = {
        "type": "t", "title": "t", "status": 422, "detail": "invalid", "instance": "/",
        "code": "invalid", "request_id": "r",
        "errors": [{"pointer": "/observations/0", "message": "too long"}],
    }  # fmt: skip
    with pytest.raises(Refused, match="/observations/0: too long") as caught:
        report(answers(422, json=problem))
    assert caught.value.code == "invalid"


def test_an_answer_that_is_not_the_protocols_counts_as_none() -> None:
    with pytest.raises(Unreachable, match="not the protocol"):
        report(answers(200, text="<html>"))


def test_a_connection_that_the_server_had_closed_is_tried_again_once() -> None:
    attempts: list[int] = []

    def handler(request: httpx.Request) -> httpx.Response:
        attempts.append(1)
        if len(attempts) == 1:
            raise httpx.RemoteProtocolError("server disconnected", request=request)
        return httpx.Response(200, json={})

    assert report(handler) == ReportReply()
    assert len(attempts) == 2


def test_a_dead_network_is_unreachable() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Unreachable, match="refused"):
        report(handler)


def test_a_closed_connection_twice_is_unreachable() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("reset", request=request)

    with pytest.raises(Unreachable, match="reset"):
        report(handler)


def test_enrolment_shows_no_old_credential() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert "Authorization" not in request.headers
        return httpx.Response(200, json={})

    http = httpx.AsyncClient(base_url="http://test", transport=httpx.MockTransport(handler))
    asyncio.run(ControlPlane(http).logs(LogRequest(chunks=())))
