"""By which address a server tells others to reach it."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from control_plane.api.address import Listening

PROXY = "https://penstock.example/cloud"


def _request(host: str, scheme: str = "http") -> Request:
    return Request(
        {
            "type": "http",
            "method": "POST",
            "path": "/api/v1/join-tokens",
            "scheme": scheme,
            "query_string": b"",
            "headers": [(b"host", host.encode())],
            "server": ("10.1.2.3", 80),
        }
    )


@pytest.mark.parametrize(
    "host,asked,address",
    [
        ("127.0.0.1", "127.0.0.1:8470", "http://127.0.0.1:8470"),
        ("127.0.0.1", "localhost:8470", "http://localhost:8470"),
        ("127.0.0.1", "cloud.example", "http://cloud.example"),
        ("10.0.0.5", "127.0.0.1:8470", "http://10.0.0.5:8470"),
        ("10.0.0.5", "cloud.example:80", "http://cloud.example:80"),
        ("fd00::5", "[::1]:8470", "http://[fd00::5]:8470"),
        ("fd00::5", "[fd00::6]:8470", "http://[fd00::6]:8470"),
        ("127.0.0.1", "no host at all", "http://10.1.2.3"),
    ],
)
def test_it_is_where_it_was_asked_unless_that_was_over_loopback(
    host: str, asked: str, address: str
) -> None:
    assert Listening(host).address(_request(asked), None) == address


def test_the_operators_word_stands_first_and_then_the_callers() -> None:
    request = _request("10.0.0.5:8470")
    assert Listening("10.0.0.5").address(request, PROXY + "/") == PROXY
    known = Listening("10.0.0.5", "https://other.example")
    assert known.address(request, PROXY) == "https://other.example"
