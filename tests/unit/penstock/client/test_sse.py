"""Reading event streams from bytes and going on after a cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from penstock.client.requests import Request, RetryPolicy
from penstock.client.sse import EventReader, Resumption, ServerEvent

STREAM = Request("GET", "/logs", params=(("tail", "5"), ("rank", "1")))
EVENTS = (
    b": hello\n\n"
    b"id: a:1\nevent: log\ndata: one\n\n"
    b"id: a:2\r\ndata: two\r\ndata:  lines\r\n\r\n"
    b"data: no id\n\n" + "id: a:3\ndata: line\u2028separator\x85\n\n".encode()
)
EXPECTED = [
    ServerEvent("a:1", "log", "one"),
    ServerEvent("a:2", "message", "two\n lines"),
    ServerEvent(None, "message", "no id"),
    ServerEvent("a:3", "message", "line\u2028separator\x85"),
]


@given(st.lists(st.integers(0, len(EVENTS)), max_size=12))
def test_events_are_the_same_however_the_bytes_were_cut_into_chunks(cuts: list[int]) -> None:
    reader = EventReader()
    edges = [0, *sorted(cuts), len(EVENTS)]
    chunks = [EVENTS[start:stop] for start, stop in pairwise(edges)]
    assert [event for chunk in chunks for event in reader.feed(chunk)] == EXPECTED


def test_a_half_received_event_is_dropped_and_asked_for_again() -> None:
    stream = Resumption(STREAM)
    assert [e.data for e in stream.feed(b"id: 1\ndata: one\n\nid: 2\ndata: tw")] == ["one"]
    assert stream.next_request().headers["Last-Event-ID"] == "1"
    assert [e.data for e in stream.feed(b"id: 2\ndata: two\n\n")] == ["two"]


def test_the_tail_is_asked_for_once_and_other_parameters_every_time() -> None:
    stream = Resumption(STREAM)
    assert stream.next_request() == STREAM
    list(stream.feed(b"id: 1\ndata: one\n\n"))
    assert stream.next_request().params == (("rank", "1"),)


def test_the_last_event_sent_again_is_not_given_twice() -> None:
    stream = Resumption(STREAM, last_id="7")
    events = list(stream.feed(b"id: 7\ndata: old\n\nid: 8\ndata: new\n\n"))
    assert [event.data for event in events] == ["new"]


def test_an_end_event_ends_the_stream_and_nothing_after_it_counts() -> None:
    stream = Resumption(STREAM)
    assert [e.data for e in stream.feed(b"data: x\n\nevent: end\n\ndata: y\n\n")] == ["x"]
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
    list(stream.feed(b"retry: 2500\n\n"))
    assert stream.delay_s(now_s=0.0, policy=RetryPolicy()) == 2.5
