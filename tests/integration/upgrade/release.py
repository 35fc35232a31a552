"""The release that upgrades start from: commit f4b7de4, taken from the history."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.rig import ROOT

COMMIT: Final = "f4b7de4"
_FOLDERS: Final = ("penstock", "control_plane", "agents", "scheduler", "workloads")


def unpack(folder: Path, commit: str = COMMIT) -> Path:
    """The release's source in a new folder; skips the test where the history lacks it."""
    if shutil.which("git") is None:
        pytest.skip("no git: the release of before cannot be taken from the history")
    packed = subprocess.run(
        ("git", "archive", "--format=tar", commit, *_FOLDERS),
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if packed.returncode != 0:
        pytest.skip(f"commit {commit} is not in this history, as in a shallow clone")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder
