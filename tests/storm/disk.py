"""A small disk of its own for one folder, which can be filled to the last byte and freed."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

_FILLER: Final = "filler"
_BLOCK: Final = bytes(1 << 16)


class Disk:
    """A tmpfs on `folder`. Only root may mount one; see `may_mount`."""

    def __init__(self, folder: Path, size: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        options = f"size={size},mode=0755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "storm", str(folder)], check=True)

    def fill(self) -> None:
        with suppress(OSError), (self.folder / _FILLER).open("ab", buffering=0) as file:
            while True:
                file.write(_BLOCK)

    def free(self) -> None:
        with suppress(OSError):
            (self.folder / _FILLER).unlink(missing_ok=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=False, capture_output=True)


def may_mount() -> bool:
    return os.geteuid() == 0 and _mounts_work()


def _mounts_work() -> bool:
    """Root of a container may lack the capability; CAP_SYS_ADMIN is bit 21."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> 21 & 1)
    return False
