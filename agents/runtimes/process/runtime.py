"""Runs replicas as processes, each under a supervisor of its own that outlives the agent."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import structlog

from agents.runtimes.base import Hint, Kept, Launch, NoRoom, Sighting, StartError, StopOrder, Use
from agents.runtimes.process import orphans, users
from agents.runtimes.process.environment import Recipe, command_of, environment_of, home_of
from agents.runtimes.process.folders import FAILURE, RESULT, SCRATCH, SHIPPED, WORK, ReplicaFolders
from agents.runtimes.process.isolation import NOT_ISOLATED, Isolation
from agents.runtimes.process.limits.demand import demand_of
from agents.runtimes.process.limits.limiter import Limiter
from agents.runtimes.process.orphans import SUPERVISOR
from agents.runtimes.process.overseer import Overseer
from agents.runtimes.process.supervisor import files, processes
from penstock.api.assignments import Assignment, Failure
from penstock.api.chips import ChipReport
from penstock.api.ids import ReplicaId
from penstock.api.states import ReplicaState
from penstock.disk_room import disk_trouble
from penstock.json_types import Json, JsonView

log = structlog.get_logger()

HINTS: Final = "hints"
STORAGE: Final = "storage.json"
"""Why projects' users could not have their folders in the storage when that was last looked at."""
LEASE_GRACE_S: Final = 2.0  # between SIGTERM and SIGKILL at a lease's end: inside the margin


@dataclass(slots=True)
class ProcessRuntime:
    """`chips` tells what is on the node now, for hiding what a replica does not hold.

    `overseer` is the second watcher: it ends what supervisors do not, or no longer can.
    """

    folders: ReplicaFolders
    limiter: Limiter
    recipe: Recipe
    chips: Callable[[], Sequence[ChipReport]] = tuple
    log_cap_bytes: int = 64 << 20
    adopts: bool = False
    isolation: Isolation = NOT_ISOLATED
    overseer: Overseer = field(init=False)
    _hints_fd: int | None = None
    _trying: dict[str, asyncio.Lock] = field(default_factory=dict)
    _tried: set[str] = field(default_factory=set)  # storages in which users have their folders
    _epochs: dict[ReplicaId, int] = field(default_factory=dict)
    _parents: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.overseer = Overseer(self.folders, self.limiter, self.adopts)

    async def start(self, launch: Launch) -> None:
        replica_id = launch.assignment.replica_id
        await self._try_storage(users.jobs_folder(launch.assignment))
        if self.folders.path(replica_id).exists():
            return
        runs = self.overseer.exists(replica_id)
        try:
            folder = self.folders.make(launch, self._spec(launch))
            if runs:
                self._disown(launch, folder)
            else:
                self.overseer.begin(replica_id)
                self._spawn(folder)
        except OSError as error:
            self.limiter.clear(replica_id)
            self.folders.discard(replica_id)
            kind = StartError if disk_trouble(error) is None else NoRoom
            raise kind(f"the node could not start the replica: {error}") from error

    async def stop(self, replica_id: ReplicaId, order: StopOrder) -> bool:
        if self._epoch(replica_id) is not None:
            self.overseer.ordered(replica_id, order)
        message = " ".join(order.message.split())
        grace_ms = int(order.grace_s * 1000)
        return self._send(replica_id, f"stop {{}} {order.reason} {grace_ms} {message}")

    async def renew(self, replica_id: ReplicaId, deadline_ns: int) -> bool:
        if not self._send(replica_id, f"renew {{}} {deadline_ns}"):
            return False
        self.overseer.renewed(replica_id, deadline_ns)
        return True

    async def sight(self, replica_id: ReplicaId) -> Sighting | None:
        epoch = self._epoch(replica_id)
        if epoch is None:
            gone = self.overseer.clear(replica_id)
            return None if gone else Sighting(0, ReplicaState.STOPPING)
        record = self.folders.exit(replica_id)
        if record is None and self.folders.is_locked(replica_id):
            if self.overseer.is_in_time(replica_id):
                started = self.folders.started(replica_id) is not None
                return Sighting(epoch, ReplicaState.RUNNING if started else ReplicaState.STARTING)
        elif record is None and (record := self.folders.exit(replica_id)) is None:
            self.overseer.bury(replica_id)
        record = record or self.folders.exit(replica_id)
        if record is None:
            return Sighting(epoch, ReplicaState.STOPPING)
        return Sighting(epoch, ReplicaState.EXITED, record)

    async def kept(self) -> tuple[Kept, ...]:
        found = []
        self.overseer.find_strangers()
        for replica_id in self.folders.ids():
            kept = self.folders.kept(replica_id)
            if not self.folders.was_begun(replica_id):
                await self.forget(replica_id)  # we were ended before its supervisor began
            elif kept is not None:
                found.append(kept)
            elif self.overseer.clear(replica_id):
                log.warning("replica_folder_unreadable", replica_id=replica_id)
                await self.forget(replica_id)
        return tuple(found)

    def log_size(self, replica_id: ReplicaId) -> int:
        try:
            return os.stat(self.folders.path(replica_id) / files.LOG).st_size
        except FileNotFoundError:
            return 0

    async def read_log(self, replica_id: ReplicaId, offset: int, limit: int) -> bytes:
        try:
            with (self.folders.path(replica_id) / files.LOG).open("rb") as file:
                file.seek(offset)
                return file.read(limit)
        except FileNotFoundError:
            return b""

    def note_shipped(self, replica_id: ReplicaId, offset: int) -> None:
        """The supervisor first: on a full disk it is what makes room for the file."""
        folder = self.folders.path(replica_id)
        files.send_line(str(folder / files.CONTROL), f"shipped {offset}")
        with suppress(OSError):  # without it a restarted agent asks the control plane
            files.write_json(str(folder), SHIPPED, {"offset": offset})

    def note_result(self, replica_id: ReplicaId, result: JsonView) -> None:
        files.write_json(str(self.folders.path(replica_id)), RESULT, dict(result))

    def note_failure(self, replica_id: ReplicaId, failure: Failure) -> None:
        files.write_json(str(self.folders.path(replica_id)), FAILURE, failure.model_dump())

    def use(self, replica_id: ReplicaId) -> Use:
        return self.limiter.use(replica_id, self._root_pid(replica_id))

    def pids(self, replica_id: ReplicaId) -> frozenset[int]:
        root = self._root_pid(replica_id)
        return frozenset(processes.descendants(root) if root is not None else ())

    async def forget(self, replica_id: ReplicaId) -> bool:
        if not self.limiter.clear(replica_id):
            return False
        await asyncio.to_thread(self.folders.delete, replica_id)  # a job's scratch may be large
        self.overseer.forget(replica_id)
        self._epochs.pop(replica_id, None)
        return True

    def describe(self) -> dict[str, str]:
        return {**self.limiter.describe(), **self.isolation.describe()}

    def listen(self, hint: Hint) -> None:
        self._hints_fd = files.open_fifo(str(self._hints_path()))
        asyncio.get_running_loop().add_reader(self._hints_fd, self._read_hints, hint)

    def tend(self) -> None:
        self._parents = [parent for parent in self._parents if parent.poll() is None]
        self.overseer.tend(frozenset(parent.pid for parent in self._parents))
        for stranger in self.limiter.strangers(self.folders.ids()):
            self.limiter.clear(stranger)

    def close(self) -> None:
        if self._hints_fd is not None:
            asyncio.get_running_loop().remove_reader(self._hints_fd)
            os.close(self._hints_fd)
            self._hints_fd = None
        for parent in self._parents:
            parent.wait()
        self.limiter.leave()

    async def _try_storage(self, jobs: str | None) -> None:
        """Whether projects' users can have their folders there, until that is known. Replicas that
        start there together wait for one look.
        """
        if jobs is None or jobs in self._tried or self.isolation.users.lacks:
            return
        async with self._trying.setdefault(jobs, asyncio.Lock()):
            if jobs in self._tried or self.isolation.users.lacks:
                return
            lack = await users.storage_obstacle(jobs, self.isolation.users)
            if lack:
                self._give_up_users(lack)
            if lack is not None:
                self._tried.add(jobs)
                with suppress(OSError):  # only the doctor misses it
                    files.write_json(str(self.folders.root.parent), STORAGE, {"lacks": lack})

    def _spec(self, launch: Launch) -> Json:
        """Makes the replica's groups, too: their paths are part of the spec. Raises OSError."""
        assignment = launch.assignment
        folder = self.folders.path(assignment.replica_id)
        recipe, user, home = self.recipe, self._user(assignment), None
        if user is not None:
            recipe = replace(recipe, cache=user["makes"][-1])
            home = home_of(user["uid"], folder / SCRATCH)
        return {
            "replica_id": assignment.replica_id,
            "epoch": assignment.epoch,
            "argv": command_of(assignment, recipe),
            "env": environment_of(launch, recipe, self.chips(), folder / WORK, home),
            "cwd": assignment.workdir or str(folder / SCRATCH),
            "deadline_ns": launch.deadline_ns(),
            "lease_grace_s": LEASE_GRACE_S,
            "stop_grace_s": assignment.stop_grace_s,
            "max_duration_s": assignment.max_duration_s,
            "log_cap_bytes": self.log_cap_bytes,
            "notify": str(self._hints_path()),
            "pid_namespace": self.isolation.pid_namespace,
            "user": user,
            "limits": self.limiter.make(demand_of(assignment)),
        }

    def _user(self, assignment: Assignment) -> Json | None:
        """Whom the replica runs as; None: as this process. Raises NoRoom."""
        if self.isolation.users.lacks:
            return None
        try:
            return users.user_of(assignment, self.isolation.users, self.recipe)
        except users.Lacking as lack:
            self._give_up_users(str(lack))
            return None

    def _give_up_users(self, lack: str) -> None:
        log.warning("projects_have_no_users", why=lack)
        self.isolation = replace(self.isolation, users=users.Users(lack))

    def _spawn(self, folder: Path) -> None:
        """The lock passes from this process to the supervisor without a moment of being free."""
        lock = files.take_lock(str(folder))
        if lock is None:
            return
        try:
            with (folder / files.ERRORS).open("wb") as errors:
                parent = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-E", str(SUPERVISOR), str(folder), str(lock)],
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    pass_fds=[lock],
                    start_new_session=True,
                    env={},
                )
        finally:
            os.close(lock)
        self._parents = [it for it in self._parents if it.poll() is None] + [parent]

    def _send(self, replica_id: ReplicaId, line: str) -> bool:
        """`{}` in the line becomes the epoch."""
        epoch = self._epoch(replica_id)
        control = self.folders.path(replica_id) / files.CONTROL
        return epoch is not None and files.send_line(str(control), line.format(epoch))

    def _epoch(self, replica_id: ReplicaId) -> int | None:
        """None where there is no such replica, or its folder is gone or cannot be read."""
        if not self.folders.path(replica_id).is_dir():
            return None
        if replica_id not in self._epochs:
            kept = self.folders.kept(replica_id)
            if kept is None:
                return None
            self._epochs[replica_id] = kept.assignment.epoch
        return self._epochs[replica_id]

    def _root_pid(self, replica_id: ReplicaId) -> int | None:
        """The replica's processes are below it: its init, else its supervisor."""
        started = self.folders.started(replica_id) or {}
        alive = (key for key in ("init_pid", "supervisor_pid") if orphans.is_alive(started, key))
        return next((int(started[key]) for key in alive), None)

    def _disown(self, launch: Launch, folder: Path) -> None:
        """It runs without its folder, which was deleted: no second one; what runs is ended."""
        replica_id = launch.assignment.replica_id
        log.warning("replica_runs_already", replica_id=replica_id)
        files.write_json(
            str(folder),
            files.STARTED,
            {"epoch": launch.assignment.epoch, "boot_id": files.boot_id()},
        )
        (folder / files.ERRORS).write_text("its folder had been deleted while it ran")

    def _read_hints(self, hint: Hint) -> None:
        assert self._hints_fd is not None
        for line in os.read(self._hints_fd, 1 << 16).decode(errors="replace").splitlines():
            hint(ReplicaId(line.partition(" ")[2]))

    def _hints_path(self) -> Path:
        return self.folders.root.parent / HINTS
