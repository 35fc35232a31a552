"""What a supervisor is told when it starts: the replica's command, limits and first deadline."""

from __future__ import annotations

from penstock.api.ids import ReplicaId
from penstock.json_types import Json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_LOG_PATIENCE_S: Final = 10.0


class Limits:
    """How the replica's limits are enforced. Empty or None: not by this means.

    `memory_limit_bytes` is for people, by whatever means it is enforced.
    """

    __slots__ = (
        "cgroups", "cores", "data_bytes", "kill_file", "memory_bytes", "memory_limit_bytes",
        "oom_file", "peak_file",
    )  # fmt: skip

    def __init__(self, document: Json) -> None:
        self.cgroups: list[str] = document.get("cgroups", [])
        self.kill_file: str | None = document.get("kill_file")
        self.oom_file: str | None = document.get("oom_file")
        self.peak_file: str | None = document.get("peak_file")
        self.cores: float | None = document.get("cores")
        self.memory_bytes: int | None = document.get("memory_bytes")
        self.memory_limit_bytes: int | None = document.get("memory_limit_bytes")
        self.data_bytes: int | None = document.get("data_bytes")


class User:
    """Whom the replica runs as. Folders that are not there it `makes`; those of both kinds that
    are still the agent's it `takes`.
    """

    __slots__ = ("groups", "makes", "takes", "uid")

    def __init__(self, document: Json) -> None:
        self.uid: int = document["uid"]
        self.groups: list[int] = document["groups"]
        self.makes: list[str] = document["makes"]
        self.takes: list[str] = document["takes"]


class Spec:
    """One replica. `deadline_ns` is on the boot clock; `notify` is the agent's named pipe.

    `log_patience_s` bounds how long the replica waits while its full log is not shipped.
    """

    __slots__ = (
        "argv", "cwd", "deadline_ns", "env", "epoch", "folder", "lease_grace_s", "limits",
        "log_cap_bytes", "log_patience_s", "max_duration_s", "notify", "pid_namespace",
        "replica_id", "stop_grace_s", "user",
    )  # fmt: skip

    def __init__(self, folder: str, document: Json) -> None:
        self.folder = folder
        self.replica_id: ReplicaId = document["replica_id"]
        self.epoch: int = document["epoch"]
        self.argv: list[str] = document["argv"]
        self.env: dict[str, str] = document["env"]
        self.cwd: str = document["cwd"]
        self.deadline_ns: int = document["deadline_ns"]
        self.lease_grace_s: float = document["lease_grace_s"]
        self.stop_grace_s: float = document["stop_grace_s"]
        self.max_duration_s: float | None = document["max_duration_s"]
        self.log_cap_bytes: int = document["log_cap_bytes"]
        self.log_patience_s: float = document.get("log_patience_s", _LOG_PATIENCE_S)
        self.pid_namespace: bool = document.get("pid_namespace", False)
        self.notify: str = document["notify"]
        user = document.get("user")  # none: the agent's own
        self.user = None if user is None else User(user)
        self.limits = Limits(document["limits"])
