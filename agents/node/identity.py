"""Who this node is to the control plane: its id and its credential, on disk and nowhere else."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agents.runtimes.process.supervisor import files
from penstock.api.ids import NodeId
from penstock.private_files import write_private

CREDENTIAL: Final = "credential"
NODE: Final = "node.json"
LOCK: Final = "agent.lock"


class StateInUse(Exception):
    """Another agent runs on this state folder."""


@dataclass(frozen=True, slots=True)
class Identity:
    node_id: NodeId
    credential: str
    heartbeat_interval_s: float
    server: str


def lock_state(state_dir: Path) -> int:
    """Keeps other agents off the folder until the descriptor is closed. Raises StateInUse."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StateInUse(f"an agent is already running on {state_dir}") from error
    return descriptor


def load(state_dir: Path) -> Identity | None:
    """None for a node that has not enrolled."""
    node = files.read_json(str(state_dir), NODE)
    credential = _read(state_dir / CREDENTIAL)
    if node is None or not credential:
        return None
    return Identity(
        node["node_id"], credential, float(node["heartbeat_interval_s"]), node["server"]
    )


def save(state_dir: Path, identity: Identity) -> None:
    """The credential last: without it the node counts as not enrolled."""
    node = {
        "node_id": identity.node_id,
        "heartbeat_interval_s": identity.heartbeat_interval_s,
        "server": identity.server,
    }
    files.write_json(str(state_dir), NODE, node, durable=True)
    _write_secret(state_dir / CREDENTIAL, identity.credential)


def rotated(state_dir: Path, identity: Identity, credential: str) -> Identity:
    """Puts a new credential in the place of the old one, whole or not at all."""
    _write_secret(state_dir / CREDENTIAL, credential)
    return replace(identity, credential=credential)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _write_secret(path: Path, secret: str) -> None:
    write_private(path, secret)
