"""The command and the environment of a replica, as its workload can rely on them. Pure."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agents.runtimes.base import Launch
from penstock.api.assignments import Assignment
from penstock.api.chips import ChipReport
from penstock.api.vendors import Vendor


@dataclass(frozen=True, slots=True)
class Recipe:
    """What every replica of this node has in common."""

    python: str
    inherited: Mapping[str, str]
    socket: str
    cache: str = ""  # tokenised data are kept there between jobs
    library: str | None = None  # folder that engine replicas import `workloads` from
    vendors: Mapping[str, Vendor] = field(default_factory=dict)


def command_of(assignment: Assignment, recipe: Recipe) -> list[str]:
    """The user's command, or Penstock's engine."""
    if assignment.command is not None:
        return list(assignment.command)
    return [recipe.python, "-m", "workloads", assignment.engine or "train"]


def environment_of(
    launch: Launch,
    recipe: Recipe,
    chips: Sequence[ChipReport],
    work: Path,
    home: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Later parts win: what is inherited, our defaults, the user's, then what Penstock promises.
    `home` is what the user that the replica runs as has in place of the agent's own.

    `chips` is everything on the node: chips that the replica does not hold are hidden from it.
    """
    assignment = launch.assignment
    return {
        **inherited(recipe, engine=assignment.command is None),
        **(home or {}),
        **_defaults(assignment),
        **assignment.env,
        **_visible(assignment, chips, recipe.vendors),
        **_world(launch),
        **_identity(launch, recipe, work),
    }


def home_of(uid: int, folder: Path) -> dict[str, str]:
    """Names and places of a user that no list of users knows."""
    name = f"penstock-{uid}"
    return {"HOME": str(folder), "USER": name, "LOGNAME": name, "TMPDIR": "/tmp"}


def inherited(recipe: Recipe, engine: bool) -> dict[str, str]:
    """What comes of the agent's own environment; for the engine with the way to its code."""
    env = dict(recipe.inherited)
    env["PATH"] = _joined(env.get("PATH", os.defpath), str(Path(recipe.python).parent))
    if engine and recipe.library is not None:
        env["PYTHONPATH"] = _joined(recipe.library, env.get("PYTHONPATH", ""))
    return env


def _defaults(assignment: Assignment) -> dict[str, str]:
    threads = max(1, -(-assignment.cores_milli // 1000))
    return {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}


def _visible(
    assignment: Assignment, chips: Sequence[ChipReport], vendors: Mapping[str, Vendor]
) -> dict[str, str]:
    held = {chip.key for chip in assignment.chips}
    hidden = dict.fromkeys(visibility(chips, vendors), "")
    return hidden | visibility([chip for chip in chips if chip.key in held], vendors)


def _world(launch: Launch) -> dict[str, str]:
    assignment = launch.assignment
    own_master = assignment.rank == 0 or assignment.master is None
    master = launch.address if own_master else assignment.master or launch.address
    host, _, port = launch.address.rpartition(":")
    master_host, _, master_port = master.rpartition(":")
    return {
        "RANK": str(assignment.rank),
        "WORLD_SIZE": str(assignment.world_size),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "MASTER_ADDR": _bare(master_host),
        "MASTER_PORT": master_port,
        "PENSTOCK_HOST": _bare(host),
        "PENSTOCK_PORT": port,
    }


def _identity(launch: Launch, recipe: Recipe, work: Path) -> dict[str, str]:
    assignment = launch.assignment
    return {
        "PENSTOCK_JOB_ID": assignment.job_id,
        "PENSTOCK_JOB_NAME": assignment.job_name,
        "PENSTOCK_PROJECT": assignment.project,
        "PENSTOCK_REPLICA_ID": assignment.replica_id,
        "PENSTOCK_EPOCH": str(assignment.epoch),
        "PENSTOCK_CHIPS": json.dumps([chip.model_dump() for chip in assignment.chips]),
        "PENSTOCK_STORAGE": assignment.storage,
        "PENSTOCK_WORK": str(work),
        "PENSTOCK_CACHE_DIR": recipe.cache,
        "PENSTOCK_AGENT_SOCKET": recipe.socket,
        "PENSTOCK_AGENT_TOKEN": launch.token,
    }


def _bare(host: str) -> str:
    return host.removeprefix("[").removesuffix("]")


def _joined(*folders: str) -> str:
    return os.pathsep.join(folder for folder in folders if folder)


def visibility(chips: Sequence[ChipReport], vendors: Mapping[str, Vendor]) -> dict[str, str]:
    """The environment that shows a process these chips and no others of their vendors."""
    listed: dict[str, list[str]] = {}
    for chip in sorted(chips, key=lambda chip: chip.index):
        row = vendors.get(chip.vendor)
        if row is not None and row.visibility_variable:
            number = getattr(chip, row.visibility_by)
            listed.setdefault(row.visibility_variable, []).append(
                str(chip.index if number is None else number)
            )
    return {name: ",".join(numbers) for name, numbers in listed.items()}
