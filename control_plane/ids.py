"""Makes new identifiers and secrets; the only source of them in the control plane."""

from __future__ import annotations

import hashlib
import secrets

from uuid_utils import uuid7


def new_id(prefix: str) -> str:
    """A UUIDv7 in hex behind `prefix_`: ids sort by the time they were made."""
    return f"{prefix}_{uuid7().hex}"


def new_secret(prefix: str) -> str:
    """A secret of 256 bits with a readable prefix, for example `pst_…`."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def hash_secret(secret: str) -> str:
    """SHA-256 of a secret. Our secrets carry 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()
