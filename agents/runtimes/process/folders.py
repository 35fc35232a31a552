"""The folders of replicas below the state folder: made whole, read back after a restart.

The supervisor's own files are declared in `agents.runtimes.process.supervisor.files`.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from agents.runtimes.base import Kept, Launch
from agents.runtimes.process.supervisor import files, ownership
from penstock.api.assignments import Assignment, ExitRecord, Failure
from penstock.api.ids import ReplicaId
from penstock.json_types import Json, JsonView

ASSIGNMENT: Final = "assignment.json"
SHIPPED: Final = "shipped.json"
RESULT: Final = "result.json"
FAILURE: Final = "failure.json"
WORK: Final = "work.json"
SCRATCH: Final = "scratch"
_UNFINISHED: Final = ".new-"


@dataclass(frozen=True, slots=True)
class ReplicaFolders:
    """All replica folders of this agent."""

    root: Path

    def prepare(self) -> None:
        """Makes the root and removes folders that were never finished."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self.root.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(path, ignore_errors=True)

    def path(self, replica_id: ReplicaId) -> Path:
        return self.root / replica_id

    def ids(self) -> tuple[ReplicaId, ...]:
        names = (it.name for it in self.root.iterdir())
        return tuple(ReplicaId(name) for name in sorted(names) if not name.startswith("."))

    def make(self, launch: Launch, spec: JsonView) -> Path:
        """A folder with everything its supervisor needs, there whole or not at all."""
        assignment = launch.assignment
        new = self.root / f"{_UNFINISHED}{assignment.replica_id}"
        (new / SCRATCH).mkdir(parents=True, mode=0o700)
        new.chmod(0o700)
        kept = {
            "assignment": assignment.model_dump(mode="json"),
            "address": launch.address,
            "token": launch.token,
        }
        files.write_json(str(new), ASSIGNMENT, kept)
        files.write_json(str(new), WORK, {"engine": assignment.engine, "work": assignment.work})
        files.write_json(str(new), files.SPEC, dict(spec))
        files.keep_deadline(str(new), launch.deadline_ns())
        os.mkfifo(new / files.CONTROL, 0o600)
        if (user := spec.get("user")) is not None:
            _let_in(new, user["uid"])
        return new.rename(self.path(assignment.replica_id))

    def kept(self, replica_id: ReplicaId) -> Kept | None:
        """What was started here, or None where the folder cannot be understood."""
        folder = str(self.path(replica_id))
        document = files.read_json(folder, ASSIGNMENT)
        shipped = files.read_json(folder, SHIPPED) or {}
        failure = files.read_json(folder, FAILURE)
        if document is None:
            return None
        try:
            return Kept(
                assignment=Assignment.model_validate(document["assignment"]),
                address=document["address"],
                token=document["token"],
                shipped=int(shipped.get("offset", 0)),
                result=files.read_json(folder, RESULT) or {},
                failure=Failure.model_validate(failure) if failure is not None else None,
            )
        except (ValidationError, KeyError):
            return None

    def exit(self, replica_id: ReplicaId) -> ExitRecord | None:
        """The exit record, once there is one."""
        document = files.read_json(str(self.path(replica_id)), files.EXIT)
        if document is None:
            return None
        try:
            return ExitRecord.model_validate(document)
        except ValidationError:
            return None

    def is_locked(self, replica_id: ReplicaId) -> bool:
        """Whether a supervisor of this folder lives."""
        try:
            lock = files.take_lock(str(self.path(replica_id)))
        except FileNotFoundError:
            return False
        if lock is not None:
            os.close(lock)
        return lock is None

    def was_begun(self, replica_id: ReplicaId) -> bool:
        """Whether somebody came as far as to start a supervisor here."""
        names = (files.ERRORS, files.STARTED, files.EXIT)
        return any((self.path(replica_id) / name).exists() for name in names)

    def started(self, replica_id: ReplicaId) -> Json | None:
        return files.read_json(str(self.path(replica_id)), files.STARTED)

    def errors(self, replica_id: ReplicaId) -> str:
        """The last line that the supervisor itself complained with; empty if it did not."""
        try:
            text = (self.path(replica_id) / files.ERRORS).read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return text.strip().rpartition("\n")[2][:500]

    def discard(self, replica_id: ReplicaId) -> None:
        """Deletes a folder whose making or whose supervisor's start failed."""
        shutil.rmtree(self.root / f"{_UNFINISHED}{replica_id}", ignore_errors=True)
        self.delete(replica_id)

    def delete(self, replica_id: ReplicaId) -> None:
        shutil.rmtree(self.path(replica_id), ignore_errors=True)


def _let_in(folder: Path, uid: int) -> None:
    """The replica's user reaches what is its own there, and nothing else. Raises OSError."""
    os.chown(folder / SCRATCH, uid, uid)
    os.chown(folder / WORK, -1, uid)
    os.chmod(folder / WORK, 0o640)
    ownership.pass_through(str(folder), uid)
