"""Measured rates of processors: starts the measurement in a child, keeps its result on disk.

The result carries its date and the identity of what was measured; another identity under the
same name (a machine image moved to other hardware) is measured anew.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from pydantic import BaseModel, ValidationError

from penstock.api.chips import Rate

log = structlog.get_logger()


class _Record(BaseModel):
    identity: str
    measured_at: datetime
    rates: dict[str, tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a file name for the result, the CPUs, and what they call themselves."""

    name: str
    cpus: tuple[int, ...]
    model: str

    @property
    def identity(self) -> str:
        return hashlib.sha256(f"{self.model}\n{self.cpus}".encode()).hexdigest()


class RateBook:
    """Rates by subject. A missing one is measured in the background, once per process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def rates(self, subject: Subject, measure: bool) -> dict[str, Rate]:
        """What is known now; empty until a measurement has ended."""
        self._reap(subject.name)
        record = self._read(subject)
        if record is not None:
            return {
                key: Rate(
                    value=value, unit=unit, origin="conformance", measured_at=record.measured_at
                )
                for key, (value, unit) in record.rates.items()
            }
        if measure and subject.name not in self._children:
            self._children[subject.name] = self._start(subject)
        return {}

    def wait(self) -> None:
        """Until the running measurements have ended; they end by themselves within seconds."""
        for child in self._children.values():
            child.wait()

    def _read(self, subject: Subject) -> _Record | None:
        try:
            text = self._path(subject.name).read_text(encoding="utf-8")
            record = _Record.model_validate_json(text)
        except (OSError, ValidationError):
            return None
        return record if record.identity == subject.identity else None

    def _start(self, subject: Subject) -> subprocess.Popen[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        log.info("cpu_measurement_started", chip=subject.name)
        cpus = ",".join(map(str, subject.cpus))
        return _run(
            [
                sys.executable,
                "-m",
                "agents.node.hardware.measure",
                "--cpus",
                cpus,
                "--identity",
                subject.identity,
                "--out",
                str(self._path(subject.name)),
            ]
        )

    def _reap(self, name: str) -> None:
        child = self._children.get(name)
        if child is not None and child.poll():
            log.warning("cpu_measurement_failed", chip=name, exit_code=child.returncode)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _run(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
