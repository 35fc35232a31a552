"""Who has just shown which secret: looked up in the database once, and again when that is old."""

from __future__ import annotations

import time
from typing import Final

from control_plane.ids import hash_secret
from control_plane.services.accounts.tokens import Authenticated
from penstock.api.ids import TokenId

REMEMBER_S: Final = 2.0
MAX_REMEMBERED: Final = 10_000


class KnownCallers:
    """One per door. A token that is revoked elsewhere opens nothing here two seconds later."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Authenticated, float]] = {}

    def get(self, secret: str) -> Authenticated | None:
        """Whether it has expired meanwhile is for the asker to check."""
        known, until = self._known.get(hash_secret(secret), (None, 0.0))
        return known if time.monotonic() < until else None

    def put(self, secret: str, known: Authenticated) -> None:
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[hash_secret(secret)] = known, time.monotonic() + REMEMBER_S

    def forget(self, token_id: TokenId) -> None:
        self._known = {
            key: entry for key, entry in self._known.items() if entry[0].caller.token_id != token_id
        }
