"""The columns of every table: which fields of a document people see, and in which words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from penstock import words
from penstock.client.requests import Document

_TICKING: Final = frozenset({"AGE", "WAITED", "RAN", "OLDEST WAIT", "HEARTBEAT", "LAST USED"})


class Column(NamedTuple):
    """One column; `wide` ones are only shown on request, `spare` ones where there is room."""

    title: str
    cell: Callable[[Document, datetime], object]
    wide: bool = False
    spare: bool = False

    @property
    def ticks(self) -> bool:
        """Whether it changes only because time goes by."""
        return self.title in _TICKING


def _field(name: str) -> Callable[[Document, datetime], object]:
    return lambda document, now: document.get(name)


def _age(name: str) -> Callable[[Document, datetime], object]:
    return lambda document, now: words.age(document.get(name), now)


def _duration(name: str) -> Callable[[Document, datetime], object]:
    return lambda document, now: words.duration(document.get(name))


def _size(name: str) -> Callable[[Document, datetime], object]:
    return lambda document, now: words.size(document.get(name))


def _counts(name: str) -> Callable[[Document, datetime], object]:
    return lambda document, now: words.counts(document.get(name) or {})


def _held(document: Document, now: datetime) -> object:
    return words.held(document.get("chips") or [])


def _progress(document: Document, now: datetime) -> object:
    progress = document.get("progress") or {}
    step, total = progress.get("step"), progress.get("total_steps")
    return f"{step}/{total}" if step is not None and total else step


def _wish(document: Document, now: datetime) -> object:
    wishes: Mapping[str, float] = document.get("asked") or {}
    return words.counts({name: count for name, count in wishes.items() if count})


def _num_ready(endpoint: Document) -> int:
    return sum(bool(it["ready"]) for it in endpoint["replicas"])


def _bound(document: Document, now: datetime) -> object:
    return "revoked" if document.get("revoked_at") else document.get("expires_at") or "never"


JOBS: Final = (
    Column("NAME", _field("name")),
    Column("ID", _field("id"), wide=True),
    Column("STATE", _field("state")),
    Column("TYPE", _field("type")),
    Column("PROJECT", _field("project"), wide=True),
    Column("QUEUE", _field("queue"), spare=True),
    Column("PRIORITY", _field("priority"), wide=True),
    Column("ASKED", _wish),
    Column("HELD", _held),
    Column("WAITED", _duration("waited_s"), spare=True),
    Column("RAN", _duration("ran_s")),
    Column("STEP", _progress),
    Column("CODE", _field("exit_code")),
    Column("AGE", _age("created_at"), spare=True),
    Column("MESSAGE", _field("message"), wide=True),
)
NODES: Final = (
    Column("NAME", _field("name")),
    Column("ID", _field("id"), wide=True),
    Column("HEALTH", lambda node, now: node["health"]["state"]),
    Column("INTENT", lambda node, now: node["intent"]["state"]),
    Column("CHIPS", _counts("chips")),
    Column(
        "CORES FREE",
        lambda node, now: (
            f"{words.thousandths(node['free_cores_milli'])}/{words.thousandths(node['cores_milli'])}"
        ),
    ),
    Column(
        "MEMORY FREE",
        lambda node, now: (
            f"{words.size(node['free_memory_bytes'])}/{words.size(node['memory_bytes'])}"
        ),
    ),
    Column("HEARTBEAT", _age("last_heartbeat_at"), spare=True),
    Column("ADDRESS", _field("address"), wide=True),
    Column("PLATFORM", _field("platform"), wide=True),
    Column("AGENT", _field("agent_version"), wide=True),
    Column("AGE", _age("created_at"), spare=True),
)
CHIPS: Final = (
    Column("ID", _field("id")),
    Column("NODE", _field("node")),
    Column("TYPE", _field("type")),
    Column("VENDOR", _field("vendor"), wide=True),
    Column("INDEX", _field("index"), spare=True),
    # An emulated type says so in its name too.
    Column("EMULATED", lambda chip, now: "emulated" if chip["emulated"] else "-", spare=True),
    Column("STANDS FOR", _field("stands_for"), wide=True),
    Column("MEMORY", _size("memory_bytes")),
    Column("HEALTH", _field("health")),
    Column("FREE", lambda chip, now: f"{chip['free_milli'] / 10:g}%"),
    Column("HELD BY", lambda chip, now: ",".join(chip.get("held_by") or [])),
    Column("DTYPES", lambda chip, now: ",".join(chip.get("dtypes") or []), wide=True),
    Column("DRIVER", _field("driver_version"), wide=True),
    Column("UUID", _field("uuid"), wide=True),
)
QUEUES: Final = (
    Column("NAME", _field("name")),
    Column("ID", _field("id"), wide=True),
    Column("RUNNING", _field("running")),
    Column("WAITING", _field("waiting")),
    Column("OLDEST WAIT", _duration("oldest_wait_s")),
    Column("USED", _counts("used")),
    Column("LIMITS", _counts("limits")),
)
ENDPOINTS: Final = (
    Column("NAME", _field("name")),
    Column("ID", _field("id"), wide=True),
    Column("STATE", _field("state")),
    Column("MODEL", _field("model")),
    Column("READY", lambda one, now: f"{_num_ready(one)}/{one['num_replicas']}"),
    Column("CHIPS", lambda one, now: ",".join(sorted({it["chip_type"] for it in one["replicas"]}))),
    Column("JOB", _field("job")),
    Column("URL", _field("url")),
    Column("TOKENS IN", _field("prompt_tokens"), wide=True),
    Column("TOKENS OUT", _field("completion_tokens"), wide=True),
    Column("AGE", _age("created_at")),
    Column(
        "WHY", lambda one, now: None if _num_ready(one) >= one["num_replicas"] else one["message"]
    ),
)
TOKENS: Final = (
    Column("NAME", _field("name")),
    Column("ID", _field("id")),
    Column("ROLE", _field("role")),
    Column("PROJECT", _field("project")),
    Column("EXPIRES", _bound),
    Column("LAST USED", _age("last_used_at")),
    Column("AGE", _age("created_at")),
)
PROJECTS: Final = (
    Column("NAME", _field("name")),
    Column("ID", _field("id"), wide=True),
    Column("AGE", _age("created_at")),
)
EVENTS: Final = (
    Column("AT", _field("at")),
    Column("SEQ", _field("seq"), wide=True),
    Column("TYPE", _field("type")),
    Column("MESSAGE", _field("message")),
)
CONTEXTS: Final = (
    Column("CURRENT", lambda one, now: "*" if one["current"] else ""),
    Column("NAME", _field("name")),
    Column("SERVER", _field("server")),
)
CHIP_TYPES: Final = (
    Column("TYPE", _field("type")),
    Column("VENDOR", _field("vendor")),
    Column("EMULATED", lambda one, now: "emulated" if one["emulated"] else "-"),
    Column("STANDS FOR", _field("stands_for")),
    Column("TOTAL", _field("total")),
    Column("HEALTHY", _field("healthy")),
    Column("FREE", lambda one, now: words.thousandths(one["free_milli"])),
    Column("MEMORY", _size("memory_bytes")),
    Column("DTYPES", lambda one, now: ",".join(one.get("dtypes") or []), wide=True),
    Column(
        "VERIFIED",
        lambda one, now: "on hardware" if one["verified"] else "unverified on hardware",
        wide=True,
    ),
)
