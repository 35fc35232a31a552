"""Makes new identifiers and secrets; the only source of them in the control plane."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import TypeVar

from uuid_utils import uuid7

IdT = TypeVar("IdT", bound=str)


def new_id(kind: Callable[[str], IdT]) -> IdT:
    """A UUIDv7 in hex behind `job_` for JobId: ids sort by the time they were made."""
    return kind(f"{kind.__name__.removesuffix('Id').lower()}_{uuid7().hex}")


def new_secret(prefix: str) -> str:
    """A secret of 256 bits with a readable prefix, for example `pst_…`."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def hash_secret(secret: str) -> str:
    """SHA-256 of a secret. Our secrets carry 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()
