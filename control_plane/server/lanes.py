"""Threads for what waits: so many for each kind of request, so that none can take those of others.

The database's connections behind them are divided the same way (`store/database/engine.py`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from enum import Enum
from functools import partial, wraps
from math import inf
from typing import Final, ParamSpec, TypeVar

import anyio
from anyio import CapacityLimiter

from control_plane.deadlines import LANE_S
from control_plane.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")


class Lane(Enum):
    """What a request is, and how many threads there are for all of its kind."""

    HEALTH = 4
    """Whoever asks how the service is, known or not."""
    BEATS = 2
    """Batches of heartbeats: leases hang on them."""
    ASSIGNMENTS = 12
    """Agents that ask what to run."""
    REPORTS = 10
    """Reports, logs and checkpoints of nodes, which may wait for the writer or the storage."""
    READS = 16
    WRITES = 40
    """More than may wait for their turn to write: one is left to refuse."""
    STREAMS = 8
    """The next piece of logs and events that are followed."""


class Lanes:
    """One per application."""

    def __init__(self) -> None:
        self._limiters = {lane.name: CapacityLimiter(lane.value) for lane in Lane}
        self._unbounded = CapacityLimiter(inf)

    async def run(self, lane: Lane, work: Callable[[], T]) -> T:
        """Raises Unavailable `busy` where no thread of the lane becomes free in time."""
        limiter, borrower = self._limiters[lane.name], object()
        try:
            with anyio.fail_after(LANE_S):
                await limiter.acquire_on_behalf_of(borrower)
        except TimeoutError as error:
            raise Unavailable("busy", what="requests of this kind") from error
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._unbounded)
        finally:
            limiter.release_on_behalf_of(borrower)


_current: Final[ContextVar[tuple[Lanes, Lane]]] = ContextVar("lane")


def enter(lanes: Lanes, lane: Lane) -> None:
    """From here on this request's work takes that lane."""
    _current.set((lanes, lane))


async def in_lane(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs what waits in a thread of the request's lane."""
    lanes, lane = _current.get()
    return await lanes.run(lane, partial(work, *args, **kwargs))


async def in_streams(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for what a stream does for as long as it is open."""
    lanes, _ = _current.get()
    return await lanes.run(Lane.STREAMS, partial(work, *args, **kwargs))


def laned(endpoint: Callable[..., object]) -> Callable[..., object]:
    """The endpoint; where it is a plain function, as one that runs in its request's lane."""
    if inspect.iscoroutinefunction(endpoint):
        return endpoint

    @wraps(endpoint)
    async def run(*args: object, **kwargs: object) -> object:
        return await in_lane(endpoint, *args, **kwargs)

    return run
