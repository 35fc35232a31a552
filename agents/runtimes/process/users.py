"""Finds out whether a project's replicas can run as a user of their own, and which that is.

The user of a project is the first one, which is the group of all of them, and the project's number.
"""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from agents.runtimes.base import NoRoom
from agents.runtimes.process.environment import Recipe, inherited
from agents.runtimes.process.supervisor import ownership
from penstock.api.assignments import Assignment
from penstock.api.vendors import Vendor
from penstock.json_types import Json

_ENGINE: Final = "import sys, penstock, workloads; print(*sys.path, sep='\\n')"
_STORAGE: Final = """
import sys
sys.path.append(sys.argv[1])
from agents.runtimes.process.supervisor import ownership
sys.exit(ownership.try_storage(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""
_TRY_S: Final = 20.0
_STORAGE_S: Final = 10.0
_LOCAL: Final = ("file://", "local://")
_MOST_WORDS: Final = 256
_NO_NUMBER: Final = (
    "the control plane gave its project no number, from which its user is made: is it older than "
    "this agent?"
)


class Lacking(Exception):
    """A replica cannot run as its project's user on this node; the text says why."""


@dataclass(frozen=True, slots=True)
class Users:
    """`lacks` says why every replica runs as the agent's own user; empty: each project has one."""

    lacks: str
    first: int = 0

    def describe(self) -> dict[str, str]:
        """In words for people, as the limits are."""
        words = f"one for each project, from {self.first + 1} on"
        if self.lacks:
            words = f"the agent's own for all projects: {self.lacks}"
        return {"users": words[:_MOST_WORDS]}


NO_USERS: Final = Users("not asked for")


def detect(wanted: bool, first: int, recipe: Recipe, state_dir: Path) -> Users:
    """What this machine permits this process. Only looks; `opened` does the agent's part."""
    if not wanted:
        return Users("switched off by the agent's settings")
    if sys.platform != "linux" or os.geteuid() != 0:
        return Users("the agent does not run as root")
    user, groups = first + 1, (first, first + 1)
    folders = (state_dir.parent, Path(recipe.socket).parent.parent)
    ways = (ownership.obstacle(str(_nearest(folder)), user, groups) for folder in folders)
    return Users(next(filter(None, ways), "") or _engine_obstacle(recipe, user), first)


def opened(users: Users, folders: Iterable[Path]) -> Users:
    """With a way through the agent's folders for the projects' users, or why there is none."""
    if users.lacks:
        return users
    try:
        for folder in folders:
            folder.mkdir(exist_ok=True, mode=0o700)
            ownership.pass_through(str(folder), users.first)
    except OSError as error:
        return Users(f"{error.filename}: {(error.strerror or str(error)).lower()}")
    return users


async def storage_obstacle(jobs: str, users: Users) -> str | None:
    """Why projects' users cannot have folders there, empty if they can; None: not known now.

    In a process of its own, which may hang as long as it likes.
    """
    library = str(Path(__file__).parents[3])
    words = [jobs, str(users.first + 1), str(users.first)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        "-E",
        "-c",
        _STORAGE,
        library,
        *words,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        said = (await asyncio.wait_for(process.communicate(), _STORAGE_S))[0]
    except TimeoutError:
        process.kill()
        return f"{jobs}: no answer within {_STORAGE_S:g} s"
    if process.returncode == ownership.NOT_NOW:
        return None
    return "" if process.returncode == 0 else said.decode(errors="replace") or f"{jobs}: no answer"


def caches(recipe: Recipe) -> Path:
    """Where the projects' caches lie: not in that of all, which is the agent's user's."""
    return Path(recipe.cache).with_name("caches")


def jobs_folder(assignment: Assignment) -> str | None:
    """Where the folders of jobs lie; None where that is no local file system."""
    own = _local(assignment.storage)
    return None if own is None else str(own.parent)


def user_of(assignment: Assignment, users: Users, recipe: Recipe) -> Json:
    """The `user` of a supervisor's spec. Raises Lacking, and NoRoom where that may change."""
    if assignment.project_number is None:
        raise NoRoom(_NO_NUMBER)
    uid = users.first + assignment.project_number
    own = _local(assignment.storage)
    return {
        "uid": uid,
        "groups": [users.first, *_device_groups(assignment, recipe.vendors)],
        "makes": [*([str(own)] if own is not None else []), f"{caches(recipe)}/{uid}"],
        "takes": [] if own is None else list(_started_from(assignment, own)),
    }


def _nearest(folder: Path) -> Path:
    return next((it for it in (folder, *folder.parents) if it.exists()), folder)


def _engine_obstacle(recipe: Recipe, user: int) -> str:
    """What keeps the user from running the engine; empty where the agent's own cannot either."""
    hidden = ownership.obstacle(recipe.python, user, (user,))
    if hidden and os.path.exists(recipe.python):
        return hidden  # the usual reason: costs no process at each start of the agent
    as_user = _run(recipe, user)
    if isinstance(as_user, subprocess.CompletedProcess) and as_user.returncode == 0:
        return ""
    as_agent = _run(recipe, None)
    if isinstance(as_agent, str) or as_agent.returncode != 0:
        return ""
    for place in as_agent.stdout.splitlines():
        if os.path.exists(place) and (why := ownership.obstacle(place, user, (user,))):
            return why
    said = as_user if isinstance(as_user, str) else as_user.stderr.strip().rpartition("\n")[2]
    return f"{recipe.python}: {said or 'it does not start'}"


def _run(recipe: Recipe, user: int | None) -> subprocess.CompletedProcess[str] | str:
    whose: Json = {} if user is None else {"user": user, "group": user}
    try:
        return subprocess.run(
            [recipe.python, "-c", _ENGINE],
            env=inherited(recipe, engine=True),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=_TRY_S,
            check=False,
            extra_groups=None if user is None else (),
            **whose,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)


def _device_groups(assignment: Assignment, vendors: Mapping[str, Vendor]) -> Sequence[int]:
    """The groups that may open the devices of the held chips. Raises Lacking."""
    rows = [vendors[name] for name in {it.vendor for it in assignment.chips} if name in vendors]
    groups = set()
    for pattern in (pattern for row in rows for pattern in row.device_nodes):
        for node in Path("/dev").glob(pattern):
            seen = node.stat()
            if seen.st_mode & stat.S_IROTH and seen.st_mode & stat.S_IWOTH:
                continue
            if not (seen.st_gid and seen.st_mode & stat.S_IRGRP and seen.st_mode & stat.S_IWGRP):
                raise Lacking(f"only root may open {node}")
            groups.add(seen.st_gid)
    return sorted(groups)


def _started_from(assignment: Assignment, own: PurePosixPath) -> Iterable[str]:
    """Folders of jobs whose checkpoints the control plane, not the user, named to this one."""
    work = assignment.work
    named = [(work.get("resume") or {}).get("uri")]
    named += [work.get("model_uri")] if work.get("kind") == "checkpoint" else []
    for path in (_local(uri) for uri in named if uri):
        if path is not None and own.parent in path.parents and ".." not in path.parts:
            folder = own.parent / path.relative_to(own.parent).parts[0]
            if folder != own:
                yield str(folder)


def _local(uri: str) -> PurePosixPath | None:
    """As fsspec reads it: what follows the scheme is the path as it stands."""
    for scheme in _LOCAL:
        uri = uri.removeprefix(scheme)
    return PurePosixPath(uri) if uri.startswith("/") else None
