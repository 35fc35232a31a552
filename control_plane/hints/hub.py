"""Hints inside one process: "something about this topic changed". Losing one costs a sweep."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Hub:
    """Threads publish topics; threads and coroutines wait for them. Carries no data."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, set[Callable[[], None]]] = defaultdict(set)
        self._relay: Callable[[str], None] | None = None
        self._followers: list[Callable[[str], None]] = []

    def publish(self, topic: str) -> None:
        """Wakes everybody who waits for the topic, here and (through the relay) elsewhere."""
        self.deliver(topic)
        if self._relay is not None:
            self._relay(topic)

    def deliver(self, topic: str) -> None:
        """Wakes the listeners of this process only."""
        with self._lock:
            listeners = tuple(self._listeners.get(topic, ()))
        for seen in self._followers:
            seen(topic)
        for wake in listeners:
            wake()

    def relay_to(self, relay: Callable[[str], None] | None) -> None:
        """Carries topics to other processes as well (Redis, in production)."""
        self._relay = relay

    def follow(self, seen: Callable[[str], None]) -> None:
        """Calls it with every topic that is published, before anybody is woken, for as long as the
        hub lives; it must not wait.
        """
        self._followers.append(seen)

    @contextmanager
    def listen(self, *topics: str) -> Iterator[threading.Event]:
        """An event for threads that is set at every publish; the waiter clears it."""
        woken = threading.Event()
        with self._registered(topics, woken.set):
            yield woken

    @contextmanager
    def listen_async(self, *topics: str) -> Iterator[asyncio.Event]:
        """The same for the running event loop."""
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(woken.set)

        with self._registered(topics, wake):
            yield woken

    @contextmanager
    def _registered(self, topics: tuple[str, ...], wake: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            for topic in topics:
                self._listeners[topic].add(wake)
        try:
            yield
        finally:
            with self._lock:
                for topic in topics:
                    self._listeners[topic].discard(wake)
                    if not self._listeners[topic]:
                        del self._listeners[topic]
