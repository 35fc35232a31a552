"""What of a stream is news, and where it goes on after a cut."""

from __future__ import annotations

from itertools import pairwise

import httpx
from httpx_sse import EventSource, ServerSentEvent
from hypothesis import given
from hypothesis import strategies as st

from penstock.client.requests import Request, RetryPolicy
from penstock.client.sse import Resumption

STREAM: Request[None] = Request("GET", "/logs", params=(("tail", "5"), ("rank", "1")))
EVENTS = (
    b": hello\n\n"
    b"id: a:1\nevent: log\ndata: one\n\n"
    b": still here\n\n"
    b"id: a:2\r\ndata: two\r\ndata:  lines\r\n\r\n"
    b"data: no id\n\n" + "id: a:3\ndata: line\u2028separator\x85\n\n".encode()
)
EXPECTED = ["one", "two\n lines", "no id", "line\u2028separator\x85"]


def news(stream: Resumption, *chunks: bytes) -> list[str]:
    """What one connection that brings these bytes says."""
    headers = {"content-type": "text/event-stream"}
    response = httpx.Response(200, headers=headers, content=iter(chunks))
    return [one.data for one in EventSource(response).iter_sse() if stream.takes(one)]


@given(st.lists(st.integers(0, len(EVENTS)), max_size=12))
def test_events_are_the_same_however_the_bytes_were_cut_into_chunks(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(EVENTS)]
    chunks = [EVENTS[start:stop] for start, stop in pairwise(edges) if start < stop]
    assert news(Resumption(STREAM), *chunks) == EXPECTED


def test_a_half_received_event_is_dropped_and_asked_for_again() -> None:
    stream = Resumption(STREAM)
    assert news(stream, b"id: 1\ndata: one\n\nid: 2\ndata: tw") == ["one"]
    assert stream.next_request().headers["Last-Event-ID"] == "1"
    assert news(stream, b"id: 2\ndata: two\n\n") == ["two"]


def test_the_tail_is_asked_for_once_and_other_parameters_every_time() -> None:
    stream = Resumption(STREAM)
    assert stream.next_request() == STREAM
    news(stream, b"id: 1\ndata: one\n\n")
    assert stream.next_request().params == (("rank", "1"),)


def test_the_last_event_sent_again_is_not_given_twice() -> None:
    stream = Resumption(Request("GET", "/logs", headers={"Last-Event-ID": "7"}))
    assert news(stream, b"id: 7\ndata: old\n\nid: 8\ndata: new\n\n") == ["new"]


def test_an_end_event_ends_the_stream_and_nothing_after_it_counts() -> None:
    stream = Resumption(STREAM)
    assert news(stream, b"data: x\n\nevent: end\n\ndata: y\n\n") == ["x"]
    assert stream.ended


def test_a_stream_that_never_began_gives_up_after_the_ordinary_retries() -> None:
    stream, policy = Resumption(STREAM), RetryPolicy(attempts=3)
    delays = [stream.delay_s(now_s=0.0, policy=policy) for _ in range(3)]
    assert delays[:2] == [0.1, 0.2]
    assert delays[2] is None


def test_a_stream_that_began_waits_for_its_server_as_long_as_its_patience() -> None:
    stream, policy = Resumption(STREAM, patience_s=60.0), RetryPolicy(attempts=3)
    stream.connected()
    assert all(stream.delay_s(now_s=float(second), policy=policy) for second in range(0, 60, 5))
    assert stream.delay_s(now_s=61.0, policy=policy) is None


def test_a_quiet_stream_that_reconnects_every_minute_goes_on_for_ever() -> None:
    stream, policy = Resumption(STREAM, patience_s=60.0), RetryPolicy()
    for minute in range(100):
        stream.connected()
        assert stream.delay_s(now_s=minute * 60.0, policy=policy) is not None


def test_the_server_may_set_the_time_between_connections() -> None:
    stream = Resumption(STREAM)
    assert not stream.takes(ServerSentEvent(retry=2500))
    assert stream.delay_s(now_s=0.0, policy=RetryPolicy()) == 2.5
