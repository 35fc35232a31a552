"""The starts of the agent that began on this state folder, as long as it is that very folder.

A copy of it has another inode, a restored one too, and after a boot nothing of before runs: there
the agent has not just been restarted, and none of its earlier starts counts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from agents.runtimes.process.folders import ReplicaFolders
from agents.runtimes.process.supervisor import files
from penstock.api.assignments import HeldRun

FILE: Final = "incarnations.json"
MOST: Final = 64


def previous(state_dir: Path) -> tuple[str, ...]:
    """Those that began here, on this folder and in this boot of the machine; the oldest first."""
    document = files.read_json(str(state_dir), FILE)
    if document is None or _place(state_dir) != document.get("place"):
        return ()
    return tuple(str(it) for it in document.get("incarnations", ()))


def note(state_dir: Path, incarnations: tuple[str, ...]) -> None:
    """Before one asks to begin, so that it is known here whatever happens next. The first is the
    one that was accepted last, and stays. Raises OSError.
    """
    kept = incarnations[:1] + incarnations[1:][-(MOST - 2) :]
    document = {"incarnations": kept, "place": _place(state_dir)}
    files.write_json(str(state_dir), FILE, document, durable=True)


def held_runs(folders: ReplicaFolders) -> tuple[HeldRun, ...]:
    """The replicas in the folder. Only looks: in a copied folder nothing may be touched."""
    found = []
    for replica_id in folders.ids():
        kept = folders.kept(replica_id)
        if kept is not None:
            proven = folders.exit(replica_id) is not None or folders.is_locked(replica_id)
            run = HeldRun(replica_id=replica_id, epoch=kept.assignment.epoch, proven=proven)
            found.append(run)
    return tuple(found)


def _place(state_dir: Path) -> dict[str, str | int]:
    """The boot id is empty where a system has none: then no place is like another."""
    seen = os.stat(state_dir)
    boot = files.boot_id() or os.urandom(8).hex()
    return {"device": seen.st_dev, "inode": seen.st_ino, "boot_id": boot}
