"""Compiles the NVML stub and runs the provider on it in a process of its own.

The binding loads its library once per process, so that each case needs a fresh one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock.api.chips import ChipReport, ChipSample
from tests.host_tree import HostTree

ROOT = Path(__file__).parents[3]
STUB = ROOT / "tests/fixtures/chips/nvidia/nvml_stub.c"
H100 = {
    "name": "NVIDIA H100 80GB HBM3",
    "uuid": "GPU-aaaa",
    "busid": "00000000:3B:00.0",
    "minor": "2",
    "total": str(80 * 2**30),
    "used": str(2**30),
    "util": "37",
    "temp": "41",
    "power": "120500",
    "ecc": "0",
    "remap": "0",
    "cc": "9.0",
    "pids": "12,7",
}


def gpu(**facts: str) -> dict[str, str]:
    """The facts of one GPU; an empty string takes a fact away."""
    return {key: value for key, value in {**H100, **facts}.items() if value}


def compile_stub(folder: Path, *options: str) -> Path:
    """The folder to put on LD_LIBRARY_PATH; skips the test where there is no C compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed: the NVML stub cannot be compiled")
    library = folder / "libnvidia-ml.so.1"
    command = [compiler, "-Wall", "-Werror", "-shared", "-fPIC", *options, "-o", str(library)]
    subprocess.run([*command, str(STUB)], check=True)
    return folder


@dataclass(frozen=True, slots=True)
class Session:
    """A process that holds one provider and answers what it sees."""

    process: subprocess.Popen[str]
    state: Path

    def has(self, *gpus: Mapping[str, str], **settings: str) -> None:
        """Replaces the state of the machine."""
        lines = {"driver": "570.86", "count": str(len(gpus)), **settings}
        for number, facts in enumerate(gpus):
            lines.update({f"{number}.{name}": value for name, value in facts.items()})
        draft = self.state.with_suffix(".draft")
        draft.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        draft.replace(self.state)

    def probe(self) -> tuple[list[ChipReport], list[str]]:
        """The chips, and what was dropped as text."""
        answer = self._ask("probe")
        return [ChipReport.model_validate(it) for it in answer["chips"]], answer["dropped"]

    def sample(self) -> list[ChipSample]:
        return [ChipSample.model_validate(it) for it in self._ask("sample")["samples"]]

    def holders(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = self._ask("holders")["holders"]
        return found

    def _ask(self, what: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def session(tree: HostTree, library: Path | None) -> Iterator[Session]:
    """A session on a host tree; without a library folder the library cannot be found."""
    state = tree.root / "nvml.state"
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(library or tree.root),
        "NVML_STUB_STATE": str(state),
    }
    command = [sys.executable, "-m", "tests.contract.chips.nvml_session", str(tree.root)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Session(process, state)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=20) == 0
