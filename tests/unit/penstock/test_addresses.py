"""Addresses: whose they are, and how they are written."""

from __future__ import annotations

import pytest

from penstock.addresses import asked_from_here, bracketed, host_of, is_loopback, outward


def test_only_this_machine_has_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "localhost", "::1", "127.9.9.9")))
    assert not any(map(is_loopback, ("127.evil.example", "10.0.0.1", "0.0.0.0", "example", "")))


@pytest.mark.parametrize(
    "url,host",
    [("http://[::1]:80/a", "::1"), ("https://a.example", "a.example"), ("http://[x", ""), ("", "")],
)
def test_the_host_of_an_address_is_found_and_never_an_error(url: str, host: str) -> None:
    assert host_of(url) == host


def test_ipv6_stands_in_brackets_and_what_is_no_wildcard_is_reached_as_it_is() -> None:
    assert [bracketed(it) for it in ("10.0.0.1", "fd00::1")] == ["10.0.0.1", "[fd00::1]"]
    assert outward("10.0.0.5") == "10.0.0.5"


@pytest.mark.parametrize(
    "headers,is_here",
    [
        ({"host": "127.0.0.1:8470"}, True), ({"host": "localhost"}, True),
        ({"host": "evil.example"}, False), ({"host": "[::1"}, False),
        ({"host": "localhost", "origin": "http://evil.example"}, False),
        ({"host": "localhost", "sec-fetch-site": "cross-site"}, False),
        ({"host": "localhost", "origin": "null"}, False),
        ({"host": "localhost", "origin": ""}, False),
        ({"host": "localhost", "origin": "file://"}, False),
        ({"host": "localhost", "origin": "data:text/html,x"}, False),
        ({"host": "localhost", "origin": "chrome-extension://localhost"}, False),
        ({"host": "localhost", "origin": "http://localhost@evil.example"}, False),
        ({"host": "localhost", "origin": "http://localhost.evil.example"}, False),
        ({"host": "localhost", "origin": "http://evil.example@localhost"}, False),
        ({"host": "evil.example@localhost"}, False), ({}, False), ({"host": ""}, False),
        ({"host": "localhost", "origin": "http://127.0.0.1:5173"}, True),
        ({"host": "[::1]:8470", "origin": "http://[::1]:8470"}, True),
    ],
)  # fmt: skip
def test_a_web_page_elsewhere_does_not_ask_from_here(
    headers: dict[str, str], is_here: bool
) -> None:
    assert asked_from_here(headers) is is_here
