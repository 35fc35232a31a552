"""What is told of projects, queues and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ACCOUNTS: Final[Mapping[str, str]] = {
    "project_created": "by {by}",
    "queue_limits": "limits of queue {queue} set by {by}: {limits:limits}",
    "token_created": "token {token} with the role {role}, by {by}",
    "revoked": "token {token} revoked by {by}",
    "join_token_created": "join token made by {by}",
}
