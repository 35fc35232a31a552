"""Runs one turn after another, whatever happens in a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from agents.client import Denied, Refused, Superseded, Unreachable
from agents.node.enrol import HOW_TO_JOIN
from penstock.backoff import Backoff

log = structlog.get_logger()

Turn = Callable[[], Awaitable[None]]
DENIED_PAUSE_S: Final = 5.0


async def forever(name: str, turn: Turn, backoff: Backoff) -> None:
    """Never returns; raises Superseded. A turn that fails is followed by a pause that grows."""
    failing = False
    while True:
        pause = await _attempt(name, turn, backoff, quiet=failing)
        if failing and pause is None:
            log.info("loop_recovered", loop=name)
        failing = pause is not None
        if pause is None:
            backoff.reset()
        else:
            await asyncio.sleep(pause)


async def _attempt(name: str, turn: Turn, backoff: Backoff, quiet: bool) -> float | None:
    """None when the turn went well, else how long to pause."""
    try:
        await turn()
    except Unreachable as error:
        if not quiet:
            log.warning("control_plane_unreachable", loop=name, error=str(error))
        return max(backoff.next_s(), error.retry_after_s or 0.0)
    except Denied as error:
        if not quiet:
            log.error("credential_refused", loop=name, error=str(error), hint=HOW_TO_JOIN)
        return max(backoff.next_s(), DENIED_PAUSE_S)
    except Superseded:
        raise  # for good: another start of the agent speaks for the node
    except Refused as error:
        log.error("request_refused", loop=name, code=error.code, error=str(error))
        return backoff.next_s()
    except BaseException:  # process loop: an agent that stops looping loses its node
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # we are told to end; any other cancellation is of what the turn waited for
        log.exception("loop_failed", loop=name)
        return backoff.next_s()
    return None
