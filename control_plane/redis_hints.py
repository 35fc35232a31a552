"""Carries hints between the processes of a control plane through Redis. Losing Redis, or a
message, costs a sweep: nothing is kept there.
"""

from __future__ import annotations

import secrets
import threading

import redis
import structlog

from control_plane.hub import Hub

log = structlog.get_logger()

CHANNEL = "penstock:hints"
RETRY_S = 1.0


class RedisHints:
    """Publishes what the hub publishes; delivers what other processes published."""

    def __init__(self, url: str, hub: Hub) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=2.0)
        self._hub = hub
        self._origin = secrets.token_hex(8)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="redis-hints", daemon=True)

    def start(self) -> None:
        self._hub.relay_to(self._publish)
        self._thread.start()

    def stop(self) -> None:
        self._hub.relay_to(None)
        self._stopping.set()
        self._thread.join(6.0)
        self._redis.close()

    def _publish(self, topic: str) -> None:
        try:
            self._redis.publish(CHANNEL, f"{self._origin} {topic}")
        except redis.RedisError as error:
            log.warning("hint_not_carried", topic=topic, error=str(error))

    def _run(self) -> None:
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
