"""The client of webhooks over real sockets: where it goes, and where nobody makes it go."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from control_plane.tasks import webhook_client
from control_plane.tasks.webhook_client import WebhookClient
from tests.fakes.webhook_receiver import Receiver, Trickler

BODY = {"event": "job.ended"}


def test_it_posts_json_with_the_headers_given(receiver: Receiver) -> None:
    assert WebhookClient(allow_private=True)(f"{receiver.url}?a=b", BODY, {"X-One": "1"}) is None
    (got,) = receiver.received
    assert (got.path, got.body) == ("/hook?a=b", BODY)
    assert (got.headers["X-One"], got.headers["Content-Type"]) == ("1", "application/json")
    assert got.headers["Host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "0"]
)
def test_it_does_not_reach_this_machine_by_any_name(receiver: Receiver, host: str) -> None:
    failure = WebhookClient()(f"http://{host}:{receiver.port}/hook", BODY, {})
    assert failure is not None
    assert receiver.received == []


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "10.1.2.3", "::ffff:169.254.169.254", "fd00:ec2::254"]
)
def test_a_name_that_stands_for_an_inside_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    _resolve(monkeypatch, "1.1.1.1", address)
    monkeypatch.setattr(socket, "create_connection", _no_connection)
    failure = WebhookClient()("http://hooks.example/", BODY, {})
    assert failure is not None
    assert "is not public" in failure


def test_it_connects_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """A name that turns to another address right after the check is asked once only."""
    asked = _resolve(monkeypatch, "127.0.0.1")
    url = f"http://hooks.example:{receiver.port}/hook"
    assert WebhookClient(allow_private=True)(url, BODY, {}) is None
    assert asked == ["hooks.example"]
    assert receiver.received[0].headers["Host"] == f"hooks.example:{receiver.port}"


def test_it_follows_no_redirect(receiver: Receiver) -> None:
    receiver.answers, receiver.location = [302], f"{receiver.url}/elsewhere"
    failure = WebhookClient(allow_private=True)(receiver.url, BODY, {})
    assert failure == "the receiver answered 302"
    assert len(receiver.received) == 1


def test_a_receiver_that_trickles_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_client, "TIMEOUT_S", 0.5)
    with Trickler() as trickler:
        began = time.monotonic()
        assert WebhookClient(allow_private=True)(trickler.url, BODY, {}) is not None
        assert time.monotonic() - began < 10, "it would trickle on for ever"


def test_a_receiver_that_is_not_there_is_a_failure_that_says_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        failure = WebhookClient(allow_private=True)(url, BODY, {})
    assert failure is not None
    assert failure.startswith("ConnectionRefusedError")


@pytest.mark.parametrize("url", ["ftp://a/", "http://", "http://a:99999/", "http://a b/", "x"])
def test_an_address_that_makes_no_sense_is_a_failure_not_an_error(url: str) -> None:
    assert WebhookClient(allow_private=True)(url, BODY, {}) is not None


def test_the_certificate_is_held_against_the_name_not_the_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate = _certificate(tmp_path, "hooks.example")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate, tmp_path / "key.pem")
    ours = ssl.create_default_context(cafile=str(certificate))
    _resolve(monkeypatch, "127.0.0.1")
    with Receiver(tls=theirs) as receiver:
        client = WebhookClient(allow_private=True, tls=ours)
        assert client(f"https://hooks.example:{receiver.port}/hook", BODY, {}) is None
        failure = client(f"https://other.example:{receiver.port}/hook", BODY, {})
        assert failure is not None
        assert "certificate verify failed" in failure
        assert WebhookClient(True)(f"https://hooks.example:{receiver.port}/", BODY, {}) is not None
        assert len(receiver.received) == 1


def test_a_resolver_that_hangs_is_waited_for_no_longer_than_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(webhook_client, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(webhook_client, "resolve", lambda *_, **__: goes_on.wait(30))
    began = time.monotonic()
    failure = WebhookClient()("https://hooks.example/hook", BODY, {})
    goes_on.set()
    assert failure == "TimeoutError: the name hooks.example was not resolved in time"
    assert time.monotonic() - began < 10


def _resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name stands for these addresses; the list tells which names were asked for."""
    asked: list[str] = []

    def lookup(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (it, port)) for it in addresses]

    monkeypatch.setattr(webhook_client, "resolve", lookup)
    return asked


def _no_connection(*_: object, **__: object) -> None:
    raise AssertionError("it connected")


def _certificate(folder: Path, name: str) -> Path:
    """Self-signed, for that name."""
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
            "-addext",
            f"subjectAltName=DNS:{name}",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=30,
    )
    return folder / "cert.pem"
