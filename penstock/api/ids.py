"""Identifiers: every id is a UUIDv7 in hex behind a typed prefix, `job_0190…`, and no name is."""

from __future__ import annotations

import re
from typing import Final, NewType

JobId = NewType("JobId", str)
GangId = NewType("GangId", str)
ReplicaId = NewType("ReplicaId", str)
LeaseId = NewType("LeaseId", str)
NodeId = NewType("NodeId", str)
ChipId = NewType("ChipId", str)
QueueId = NewType("QueueId", str)
ProjectId = NewType("ProjectId", str)
EndpointId = NewType("EndpointId", str)
CheckpointId = NewType("CheckpointId", str)
CycleId = NewType("CycleId", str)
TokenId = NewType("TokenId", str)
JoinId = NewType("JoinId", str)
DeliveryId = NewType("DeliveryId", str)
SpeedId = NewType("SpeedId", str)
UsageId = NewType("UsageId", str)
UseId = NewType("UseId", str)
KeyId = NewType("KeyId", str)

PREFIXES: Final = (
    "job", "gang", "replica", "lease", "node", "chip", "queue", "project",
    "endpoint", "checkpoint", "cycle", "token", "join", "delivery",
)  # fmt: skip
NAME_PATTERN: Final = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"
URL_PATTERN: Final = r"^https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[\w.~/-]*)?$"

NAME_LIKE_ID: Final = "looks like an id: choose another name"
_ID: Final = re.compile(rf"({'|'.join(PREFIXES)})_[0-9a-f]{{32}}")


def noun_of(ref: str) -> str | None:
    """The noun whose id this is (`job` of `job_0190…`); None for what can only be a name."""
    match = _ID.fullmatch(ref)
    return match[1] if match else None
