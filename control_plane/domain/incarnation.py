"""Which start of an agent speaks for a node: the rule by which one follows another. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

Run = tuple[str, int]
"""A replica and its epoch."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A start of an agent that wants to speak for a node.

    `previous` are the incarnations that began on its very state folder in this boot of the machine:
    whatever they started is known there. `proven` are the runs whose supervisor holds its lock in
    the folder, or whose end is written there.
    """

    incarnation: str
    previous: frozenset[str] = frozenset()
    proven: frozenset[Run] = frozenset()


@dataclass(frozen=True, slots=True)
class Hold:
    """A held lease of the node; `started` once its replica was seen to start."""

    run: Run
    started: bool


class Obstacle(StrEnum):
    """What a claim waits for."""

    HEARD = "heard"
    HELD = "held"


def obstacle(
    claim: Claim, present: str | None, holds: Collection[Hold], *, heard: bool
) -> Obstacle | None:
    """What the claim has to wait for, or None where it is accepted.

    `present` is the node's incarnation, None where its agent never named one: that agent was of
    an older version, or the node is new. Its successor is known by the runs in its folder.
    """
    if present is None:
        strange = any(hold.started and hold.run not in claim.proven for hold in holds)
        return Obstacle.HELD if strange else None
    if claim.incarnation == present or present in claim.previous:
        return None
    unproven = [hold for hold in holds if hold.run not in claim.proven]
    return takeover_obstacle(unproven, heard=heard)


def takeover_obstacle(holds: Collection[Hold], *, heard: bool) -> Obstacle | None:
    """What somebody who cannot prove to be the node's agent has to wait for."""
    if heard:
        return Obstacle.HEARD
    return Obstacle.HELD if holds else None
