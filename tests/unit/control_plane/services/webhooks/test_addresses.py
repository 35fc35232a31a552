"""Which addresses webhooks may reach."""

from __future__ import annotations

import pytest

from control_plane.services.webhooks.addresses import is_public, may_be_public

INSIDE = (
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1",
    "192.88.99.1", "192.0.0.8", "192.0.0.170", "240.0.0.1", "203.0.113.9", "239.1.1.1",
    "::127.0.0.1", "::8.8.8.8", "::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8", "::ffff:192.88.99.1",
    "fec0::1", "fec0::a:1%1", "64:ff9b:1::7f00:1", "64:ff9b:1::808:808", "5f00::1", "5f00:ffff::",
    "3fff::1", "3fff:fff::1", "2001::808:808", "2001:0:7f00:1::", "2001:10::1", "2001:20::1",
    "2001:2::1", "2002:808:808::1", "3ffe::1", "100::1", "4000::1", "e000::1", "fe90::1",
    "2606:4700::1111%eth0", "64:ff9b::c058:6301",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1",
)  # fmt: skip
OUTSIDE = (
    "1.1.1.1",
    "8.8.8.8",
    "2606:4700:4700::1111",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
    "2a00::1",
)


@pytest.mark.parametrize("address", INSIDE)
def test_an_inside_address_is_never_public_however_it_is_dressed(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["localhost", "api.localhost", "127.0.0.1", "127.1", "0x7f000001", "2130706433", "::1",
             "10.1.2.3", "169.254.169.254", "fd00::1", "::ffff:10.0.0.1"]
)  # fmt: skip
def test_a_host_that_is_inside_is_known_before_anything_is_sent(host: str) -> None:
    assert not may_be_public(host)


@pytest.mark.parametrize("host", ["hooks.example", "1.1.1.1", "2606:4700::1111", "a-b.example.org"])
def test_a_name_may_be_public(host: str) -> None:
    assert may_be_public(host)
