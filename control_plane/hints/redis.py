"""Carries hints between the processes of a control plane through Redis. Losing Redis, or a
message, costs a sweep: nothing is kept there, and nobody waits for it.
"""

from __future__ import annotations

import queue
import secrets
import threading

import redis
import structlog

from control_plane.deadlines import REDIS_CONNECT_S, REDIS_S
from control_plane.hints.hub import Hub
from control_plane.threads import KeptThread

log = structlog.get_logger()

CHANNEL = "penstock:hints"
RETRY_S = 1.0
MAX_WAITING = 1000


class RedisHints:
    """Publishes what the hub publishes; delivers what other processes published."""

    def __init__(self, url: str, hub: Hub) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=REDIS_S, socket_connect_timeout=REDIS_CONNECT_S
        )
        self._hub = hub
        self._origin = secrets.token_hex(8)
        self._outgoing: queue.Queue[str | None] = queue.Queue(MAX_WAITING)
        self._stopping = threading.Event()
        self._listener = KeptThread("redis-hints", self._receive, self._stopping)
        self._sender = KeptThread("redis-hints-out", self._send, self._stopping)

    def start(self) -> None:
        self._hub.relay_to(self._publish)
        self._listener.start()
        self._sender.start()

    def stop(self) -> None:
        self._hub.relay_to(None)
        self._stopping.set()
        self._wake_sender()
        self._sender.join(6.0)
        self._listener.join(6.0)
        self._redis.close()

    def _publish(self, topic: str) -> None:
        """Never waits: whoever publishes has a request or a commit behind it."""
        try:
            self._outgoing.put_nowait(topic)
        except queue.Full:
            return  # Redis is away or slow; the sweeps of the others will see it

    def _wake_sender(self) -> None:
        try:
            self._outgoing.put_nowait(None)
        except queue.Full:
            return  # it has enough to wake up for

    def _send(self) -> None:
        is_away = False
        while not self._stopping.is_set():
            topic = self._outgoing.get()
            if topic is None:
                continue
            try:
                self._redis.publish(CHANNEL, f"{self._origin} {topic}")
                is_away = False
            except redis.RedisError as error:
                if not is_away:
                    log.warning("hints_not_carried", error=str(error))
                is_away = True

    def _receive(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except redis.RedisError as error:
                log.warning("redis_away", error=str(error))
                self._stopping.wait(RETRY_S)

    def _listen(self) -> None:
        subscription = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        with subscription as channel:
            channel.subscribe(CHANNEL)
            while not self._stopping.is_set():
                message = channel.get_message(timeout=1.0)
                if message is None:
                    continue
                origin, _, topic = message["data"].decode().partition(" ")
                if origin != self._origin:
                    self._hub.deliver(topic)
